"""One answer of a chain, explained by whoever is configured for its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from whence.api.langchain.carried import Carried, carried_by
from whence.api.langchain.models import Explainers, Identity, not_configured
from whence.api.langchain.records import Outcome
from whence.api.langchain.retelling import Retold, retell
from whence.api.langchain.said import Answer, document_of
from whence.api.langchain.traces import Asked
from whence.api.sdk import Explainer
from whence.explain.budget import Budget
from whence.explain.methods import AUTO, get_method
from whence.explain.plan import Plan
from whence.explain.request import Request
from whence.explain.schema import Cost, Explanation, TargetKind, TextKind
from whence.providers.errors import InputError, WhenceError
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt

CARRIED = "citations"
REMOVAL = "leave_one_out"
WHOLE: Mapping[str, Any] = {"method": REMOVAL, "segment_by": "source", "groundedness": True}
"""How removals are measured: each source as a whole, and all of them together."""
UNPLACED = (
    "{unplaced} of the answer's citations are left out: at the place that they name, nothing is known of the "
    "text that they quote."
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How answers are explained: as of `Explainer.explain`. `removals`: see `Outcome`. Raises InputError."""

    method: str | Sequence[str]
    segment_by: TextKind
    target_by: TargetKind
    max_tokens: int
    seed: int
    budget: Budget | None
    removals: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.method, Iterable):
            raise InputError(f"method is {self.method!r}; name one, or several")
        Request(
            prompt=Prompt(messages=()),
            methods=self.methods,
            segment_by=self.segment_by,
            target_by=self.target_by,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )
        names = dict.fromkeys(own for name in self.methods for own in (AUTO if name == "auto" else (name,)))
        known = sorted(set().union(*(get_method(name).parameters for name in names)))
        for name in self.parameters:
            if name not in known:
                raise InputError(
                    f"{name} is neither an option of ExplanationHandler nor a parameter of "
                    f"{', '.join(self.methods)}, which takes {', '.join(known) or 'none'}"
                )

    @property
    def methods(self) -> tuple[str, ...]:
        """By their names."""
        return (self.method,) if isinstance(self.method, str) else tuple(self.method)

    @property
    def removes(self) -> bool:
        """Whether the explanation itself is one of what each source's removal does."""
        return REMOVAL in self.methods and self.segment_by == "source"


class Explaining:
    """Says of an answer what became of it."""

    def __init__(self, explainers: Explainers, wanted: Wanted) -> None:
        self._explainers = explainers
        self._wanted = wanted

    def explain(self, asked: Asked, answer: Answer, identity: Identity) -> Outcome:
        """Its outcome, also where that fails."""
        made = _Made(self._wanted, identity)
        try:
            if asked.error is not None:
                raise asked.error
            retold = retell(asked.said, tuple(map(document_of, asked.documents)))
            made.outcome.chunks = retold.chunks
            output, unplaced = carried_by(answer, retold.brought)
            if output.text.strip():
                made.measure(retold, output, self._explainers.of(identity))
                if output.citations is not None:
                    made.claim(retold, output, unplaced)
            else:
                made.outcome.status = "nothing to explain"
                made.notes.append("the answer has no text")
        except Exception as error:  # noqa: BLE001 - of whatever message, model or integration
            made.outcome.status = "failed"
            made.keep("", error)
        return made.done(_not_known(asked))


class _Made:
    """The outcome of one answer, step by step. `notes`: its reason."""

    def __init__(self, wanted: Wanted, identity: Identity) -> None:
        self.outcome = Outcome()
        self.notes: list[str] = []
        self._wanted = wanted
        self._identity = identity

    def measure(self, retold: Retold, output: Generation, explainer: Explainer | None) -> None:
        """What somebody who can ask the model finds, or what that would cost."""
        wanted = self._wanted
        if explainer is None:
            self.outcome.status = "not configured"
            self.notes.append(not_configured(self._identity))
            return
        given: dict[str, Any] = {
            "output": output,
            "target_by": wanted.target_by,
            "max_tokens": wanted.max_tokens,
            "seed": wanted.seed,
        }
        own = {"method": wanted.method, "segment_by": wanted.segment_by, **wanted.parameters}
        removes = wanted.removals and any(chunk.sources for chunk in retold.chunks)
        if removes and wanted.removes:
            own["groundedness"] = True
        apart = removes and not wanted.removes
        if wanted.budget is None and explainer.capabilities().metered:
            plan = explainer.plan(retold.messages, **given, **own)
            if apart:
                with self._beside("no removals: "):
                    plan = _both(plan, explainer.plan(retold.messages, **given, **WHOLE))
            self._planned(plan)
            return
        found = explainer.explain(retold.messages, **given, **own, budget=wanted.budget)
        self.outcome.explanation, self.outcome.status = found, "explained"
        if apart:
            with self._beside("no removals: "):
                left = _left(found.cost)
                self.outcome.removals = explainer.explain(retold.messages, **given, **WHOLE, budget=left)
        elif removes:
            results = tuple(result for result in found.results if result.method.name == REMOVAL)
            self.outcome.removals = found.model_copy(update={"results": results})

    def claim(self, retold: Retold, output: Generation, unplaced: int) -> None:
        """Add what the answer itself says of what it rests on, which costs nothing."""
        measured = self.outcome.explanation
        segment_by, target_by = self._wanted.segment_by, self._wanted.target_by
        if segment_by in ("token", "word") or target_by == "token":
            if measured is not None:
                self.notes.append("no claims: they are made of sentences, and other units were asked for")
                return
            segment_by = target_by = "sentence"
        with self._beside("no claims: "):
            provider = Carried(output, name=self._identity.provider, model=self._identity.model)
            claims = Explainer(provider).explain(
                retold.messages, output=output, method=CARRIED, segment_by=segment_by, target_by=target_by
            )
            if unplaced:
                claims = _with_caveats(claims, [UNPLACED.format(unplaced=unplaced)])
            if measured is not None:  # of the same sources and targets
                claims = measured.model_copy(update={"results": (*measured.results, *claims.results)})
            self.outcome.explanation = claims
            if self.outcome.status == "not configured":
                self.outcome.status = "explained"
                self.notes.clear()

    def keep(self, what: str, error: Exception) -> None:
        """Something went wrong."""
        self.outcome.error = error
        self.notes.append(what + (str(error) if isinstance(error, WhenceError) else type(error).__name__))

    def done(self, caveats: Sequence[str]) -> Outcome:
        """The whole of it. `caveats`: what holds for whatever was found."""
        if self.outcome.explanation is not None and caveats:
            self.outcome.explanation = _with_caveats(self.outcome.explanation, caveats)
        self.outcome.reason = "; ".join([*self.notes, *caveats])
        return self.outcome

    @contextmanager
    def _beside(self, what: str) -> Iterator[None]:
        """What fails inside is noted, and all else stands without it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - of whatever model or integration
            self.keep(what, error)

    def _planned(self, plan: Plan) -> None:
        self.outcome.plan, self.outcome.status = plan, "planned"
        self.notes.append(
            "calls of this model cost money, and no budget is set: give one, such as "
            f"ExplanationHandler(budget={{'calls': {plan.calls}}})"
        )


def _not_known(asked: Asked) -> list[str]:
    left_out = sorted({block for said in asked.said for block in said.left_out})
    unread = f"the model was also told what is not read here, and left out: {', '.join(left_out)}"
    return [*asked.notes, *([unread] if left_out else [])]


def _with_caveats(explanation: Explanation, caveats: Sequence[str]) -> Explanation:
    """On the first of its results."""
    first, *others = explanation.results
    first = first.model_copy(update={"caveats": (*first.caveats, *caveats)})
    return explanation.model_copy(update={"results": (first, *others)})


def _left(cost: Cost) -> Budget | None:
    """What an explanation left of the budget that held for it."""
    if cost.budget is None:
        return None
    spent = {
        "calls": cost.calls,
        "tokens": (cost.input_tokens or 0) + (cost.output_tokens or 0),
        "money": cost.money.amount if cost.money else 0.0,
        "seconds": cost.seconds,
    }
    return Budget.of({name: max(0, limit - spent[name]) for name, limit in cost.budget if limit is not None})


def _both(plan: Plan, removals: Plan) -> Plan:
    """An explanation and its removals as one plan."""
    money = None
    if plan.money is not None and removals.money is not None:
        money = plan.money.model_copy(update={"amount": plan.money.amount + removals.money.amount})
    summed = ("calls", "input_tokens", "output_tokens")
    return plan.model_copy(
        update={
            "methods": (*plan.methods, *removals.methods),
            "money": money,
            **{name: getattr(plan, name) + getattr(removals, name) for name in summed},
        }
    )
