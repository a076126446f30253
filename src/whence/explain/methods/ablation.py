"""What every design of ablations shares: what is removed, what that is worth, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from whence.explain.ablation import Mask
from whence.explain.methods.base import Effort, Finding, Task
from whence.explain.result import Confirmation, Fallback, Measure, MethodRecord, Result, Scores
from whence.explain.schema import TargetKind, TextKind
from whence.explain.scored import LogProbability
from whence.explain.scorers import Scorer, get_scorer
from whence.explain.values import REPEATS, Similarity, Value, Values
from whence.explain.written import WrittenLogProbability
from whence.providers.base import Capabilities
from whence.providers.errors import BudgetError, InputError, UnsupportedError

CAVEAT = (
    "A score says what changed when a passage was taken away. The record without it is another record, which "
    "the model may also have read differently in other ways."
)
NOISE_CAVEAT = (
    "The model writes something else each time it is asked: scores nearer to zero than the noise floor "
    "(estimated from {repeats} repeats of the whole prompt) are not distinguishable from chance."
)
ALIKE_CAVEAT = (
    "The model may write something else each time it is asked; {repeats} repeats of the whole prompt said "
    "the same, which does not exclude chance in the scores."
)
CUT_CAVEAT = "Cut by the budget: {done} of {wanted} {what}. With all of them the scores would be surer."
STOPPED_CAVEAT = (
    "Stopped after {done} of {wanted} {what}: the best passages of every target no longer changed."
)
TWO_SIDED_95 = 1.96
"""Standard deviations beyond which one value of a normal distribution in twenty lies."""
LARGEST_DESIGN = 50_000_000
"""Calls times segments: a byte each, and more while they are fitted."""
LEADERS = 3
LEADING = 0.25
"""The part of a target's best score that another passage must reach to be one of its leaders."""


class Options(BaseModel):
    """Parameters of every design.

    `value`: `logprob`, `similarity`, or `auto`, the first that the provider allows. `scorer`: of similarity,
    by name or a function of (target, text). `scorer_model`: a sentence-embedding model, for `embedding`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    value: Literal["auto", "logprob", "similarity"] = "auto"
    scorer: str | Callable[[str, str], float] = "overlap"
    scorer_model: Any = None

    def made_scorer(self) -> Scorer:
        """The scorer. Raises UnknownScorerError, MissingExtraError, ModelLoadError, InputError."""
        given = {} if self.scorer_model is None else {"model": self.scorer_model}
        return get_scorer(self.scorer, **given)


OptionsT = TypeVar("OptionsT", bound=Options)


class _Units(TypedDict):
    segment_by: TextKind
    target_by: TargetKind


@dataclass(frozen=True, kw_only=True)
class Study:
    """A value to be measured under ablations.

    `left`: calls that the budget still allows; None: no limit. `timed`: whether the time may run out, so that
    what is done should be safe in small rounds. `bears_gaps`: whether some values may be missing.
    """

    value: Value
    seed: int
    left: int | None
    timed: bool = False
    bears_gaps: bool = True

    def __len__(self) -> int:
        """The number of segments that can be removed."""
        return len(self.value.ablation)

    async def worth(self, masks: Mask) -> Values:
        """Masks x segments to masks x targets.

        Raises CutError, RefusedError, UnsupportedError where none may be missing, and one is.
        """
        values = await self.value.of(masks)
        if not self.bears_gaps:
            if self.value.failures:
                raise self.value.failures[0]
            if np.isnan(values).any():
                raise UnsupportedError(
                    "the model does not tell how probable each token of this output is, which this method "
                    "cannot do without; take lasso or leave_one_out, or value='similarity'"
                )
        return values


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a design found.

    `scores`, `stderr`: targets x segments that can be removed; NaN where a score is not known.
    `noise_factor`: the standard deviation of a score, of a value's, when nothing but noise changes.
    `confirmations`: with segments by their place among those that can be removed. `groundedness`: what each
    target loses without any of them; NaN where that is not known, None where it was not tried.
    """

    scores: Values
    stderr: Values | None
    noise_factor: float
    said: Mapping[str, int | float | bool] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    groundedness: Values | None = None


class AblationMethod(Generic[OptionsT]):
    """A design: which segments to remove together, and what the changes say of each."""

    name: ClassVar[str]
    caveat: ClassVar[str]
    bears_gaps: ClassVar[bool] = True
    """Whether it can score where some values could not be had."""
    removes_little: ClassVar[bool] = False
    """Whether most of an answer is written again: then log-probabilities up to where it is not say more than
    similarity, and come first."""
    options: type[OptionsT]

    @property
    def parameters(self) -> frozenset[str]:
        """The names of its options."""
        return frozenset(self.options.model_fields)

    def lacks(self, capabilities: Capabilities) -> str | None:
        """Every provider can write a text again."""
        return None

    def check(self, parameters: Mapping[str, object], capabilities: Capabilities) -> None:
        """The options make sense, and the provider has the value. Raises InputError, UnsupportedError."""
        options = self.chosen(parameters)
        reason = self._without_logprobs(options, capabilities)
        if options.value == "logprob" and reason is not None:
            raise UnsupportedError(
                f"value='logprob' {reason}. Leave value= away, or write value='similarity'"
            )
        if options.value != "logprob" and (reason is not None or not capabilities.scores):
            options.made_scorer()

    def effort(self, parameters: Mapping[str, object], capabilities: Capabilities, segments: int) -> Effort:
        """The calls of the design, and those of the whole prompt."""
        options = self.chosen(parameters)
        reason = self._without_logprobs(options, capabilities)
        rewrites = reason is not None or not capabilities.scores
        fixed = REPEATS if rewrites and not capabilities.deterministic else 1
        least, wanted = self.calls(options, segments, regenerates=rewrites)
        if wanted * segments > LARGEST_DESIGN:
            raise InputError(
                f"{self.name} would ask {wanted} times about {segments} passages, which is too much to hold; "
                "choose coarser segments (segment_by='paragraph'), or fewer masks or permutations"
            )
        return Effort(
            family="logprob" if reason is None else "perturbation",
            rewrites=rewrites,
            least=fixed + least,
            wanted=fixed + wanted,
            fallbacks=_passed_over(options, reason),
        )

    async def run(self, task: Task) -> tuple[Finding, ...]:
        """Remove, ask, and score. Raises InputError, BudgetError, ProviderError.

        Where a model tells how probable its own words are, what it writes again is looked at twice.
        """
        options = self.chosen(task.parameters)
        values, fallbacks = await self._open(task, options)
        return tuple([await self._study(task, options, value, fallbacks) for value in values])

    async def _study(
        self, task: Task, options: OptionsT, value: Value, fallbacks: tuple[Fallback, ...]
    ) -> Finding:
        left = None if task.allowed is None else task.allowed - value.repeats
        least, _ = self.calls(options, len(value.ablation), regenerates=value.noise is not None)
        if left is not None and left < least:
            raise BudgetError(
                f"{self.name} needs {least + value.repeats} calls here, and the budget allows {task.allowed}"
            )
        budget = task.calls.budget
        timed = budget is not None and budget.seconds is not None
        study = Study(value=value, seed=task.seed, left=left, timed=timed, bears_gaps=self.bears_gaps)
        found = await self.estimate(study, options)
        noisy = value.repeats > 1
        floor = None if value.noise is None else TWO_SIDED_95 * value.noise * found.noise_factor
        unmeasured = _unmeasured(found.scores, value)
        result = Result(
            method=MethodRecord(
                name=self.name,
                family=value.family,
                evidence="causal",
                access=value.access,
                parameters={**value.said, **found.said},
                seed=task.seed,
                fallbacks=(*task.fallbacks, *fallbacks),
            ),
            scores=Scores(
                values=_rows(found.scores, value),
                unit=value.unit,
                signed=True,
                stderr=None if found.stderr is None else _rows(found.stderr, value),
                noise_floor=floor,
                unmeasured=unmeasured,
            ),
            confirmations=tuple(
                confirmation.model_copy(update={"segment": value.ablation.removable[confirmation.segment]})
                for confirmation in found.confirmations
            ),
            fidelity=Measure(reason="no causal check was run"),
            groundedness=_groundedness(found.groundedness, value),
            caveats=(
                CAVEAT,
                self.caveat,
                *([(NOISE_CAVEAT if floor else ALIKE_CAVEAT).format(repeats=value.repeats)] if noisy else []),
                *value.caveats,
                *found.caveats,
                *_missing(unmeasured, found.scores),
            ),
        )
        return Finding(layout=value.layout, result=result, tokens=value.tokens)

    def chosen(self, parameters: Mapping[str, object]) -> OptionsT:
        """The options of this design, out of the parameters of all. Raises InputError."""
        own = {name: value for name, value in parameters.items() if name in self.parameters}
        try:
            return self.options.model_validate(own)
        except ValidationError as error:
            # By name: of a union each member complains. Texts are not repeated, for they may be confidential.
            faults = {str(item["loc"][0]): item["msg"] for item in error.errors(include_input=False)}
            said = [f"{name} is {_shown(own[name])}: {message}" for name, message in faults.items()]
            raise InputError(f"{self.name}: {'; '.join(said)}") from None

    def _without_logprobs(self, options: OptionsT, capabilities: Capabilities) -> str | None:
        """Why text is compared instead; None where log-probabilities are."""
        if options.value == "similarity":
            return "not asked for"
        if capabilities.scores or (capabilities.writes_logprobs and self.bears_gaps):
            return None
        if capabilities.writes_logprobs:
            return (
                "needs log-probabilities of a given output; this provider tells those of its own words only, "
                f"which leaves gaps that {self.name} cannot bear"
            )
        return f"needs log-probabilities of a given output; this provider gives {capabilities.access}"

    async def _open(self, task: Task, options: OptionsT) -> tuple[list[Value], tuple[Fallback, ...]]:
        """The values that the provider allows, and why not better ones."""
        chosen: _Units = {"segment_by": task.segment_by, "target_by": task.target_by}
        asked = (task.calls, task.prompt, task.ids, task.output)
        capabilities = task.calls.capabilities
        reason = self._without_logprobs(options, capabilities)
        values: list[Value] = []
        if reason is None:
            try:
                if capabilities.scores:
                    return [await LogProbability.open(*asked, **chosen)], ()
                values.append(
                    await WrittenLogProbability.open(
                        *asked, **chosen, max_tokens=task.max_tokens, seed=task.seed
                    )
                )
            except UnsupportedError as error:  # found out only by asking
                if options.value == "logprob":
                    raise
                reason = str(error)
        tokens = task.target_by == "token"
        if values and (options.value == "logprob" or tokens):
            return values, ()
        if tokens:
            raise UnsupportedError(
                "tokens of a text that is written again are not known; choose target_by='word'"
            )
        value = await Similarity.open(
            *asked, **chosen, scorer=options.made_scorer(), max_tokens=task.max_tokens, seed=task.seed
        )
        both = [*values, value] if self.removes_little else [value, *values]
        return both, _passed_over(options, reason)

    def calls(self, options: OptionsT, segments: int, *, regenerates: bool) -> tuple[int, int]:
        """The least and the wanted number of ablations of so many segments."""
        raise NotImplementedError

    async def estimate(self, study: Study, options: OptionsT) -> Estimate:
        """Measure the ablations of the design, and score."""
        raise NotImplementedError


def _shown(value: object) -> str:
    """A number as it is, and of anything else its type."""
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"


def leaders(scores: Values, chance: Values) -> list[frozenset[int]]:
    """For each target the segments, three at most, that stand out: near to the best, and beyond `chance`.

    `scores`, `chance`: targets x segments, the latter how far from 0 chance alone may bring a score.
    """
    best = scores.max(axis=1, keepdims=True)
    outstanding = (scores > chance) & (scores > 0) & (scores >= LEADING * best)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :LEADERS]
    return [frozenset(int(i) for i in own if row[i]) for own, row in zip(order, outstanding, strict=True)]


def _passed_over(options: Options, reason: str | None) -> tuple[Fallback, ...]:
    if reason is None or options.value != "auto":
        return ()
    return (Fallback(method="value='logprob'", reason=reason),)


def _rows(parts: Values, value: Value) -> tuple[tuple[float, ...], ...]:
    """Targets x all segments; one without a visible character is 0, and so is what was not measured."""
    whole: NDArray[np.float64] = np.zeros((len(parts), len(value.layout.segments)))
    whole[:, list(value.ablation.removable)] = np.nan_to_num(parts)
    return tuple(tuple(row) for row in whole.tolist())


def _unmeasured(scores: Values, value: Value) -> tuple[tuple[int, int], ...]:
    """(target, segment) of the scores that could not be had."""
    return tuple((int(t), value.ablation.removable[int(s)]) for t, s in np.argwhere(np.isnan(scores)))


def _groundedness(losses: Values | None, value: Value) -> Measure:
    """What all segments together are worth to each target."""
    if losses is None:
        return Measure(reason="no causal check was run")
    if np.isnan(losses).any():
        return Measure(
            reason=f"of {np.isnan(losses).sum()} of {losses.size} targets it could not be measured"
        )
    k = len(value.ablation)
    return Measure(k=(k,), values=tuple((loss,) for loss in losses.tolist()), unit=value.unit)


def _missing(unmeasured: tuple[tuple[int, int], ...], scores: Values) -> tuple[str, ...]:
    """Says how much could not be measured, and of which targets nothing at all."""
    if not unmeasured:
        return ()
    without = [number for number, row in enumerate(scores, start=1) if np.isnan(row).all()]
    named = ", ".join(map(str, without[:10])) + (", ..." if len(without) > 10 else "")
    return (
        f"{len(unmeasured)} of {scores.size} scores could not be measured; they are 0, which says nothing."
        + (f" Of {len(without)} of {len(scores)} targets ({named}) none could." if without else ""),
    )
