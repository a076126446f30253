"""Native attention: where the model looked while it predicted each token, read in three ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral

from whence.explain.aggregate import aggregate, from_attention, to_detail, to_elsewhere
from whence.explain.layout import lay_out
from whence.explain.methods.base import Effort, Finding, Task
from whence.explain.result import Measure, MethodRecord, Result, Scores
from whence.explain.scored import output_tokens
from whence.explain.tensor import CAVEAT
from whence.providers.base import Capabilities, require_known
from whence.providers.errors import InputError
from whence.providers.observations import AttentionQuery, Reduction

CHOSEN_CAVEAT = "Only some layers or heads were combined, by choice: another choice gives other shares."
ROLLOUT_CAVEAT = (
    "Rollout follows attention as if each layer passed on half of what it had and half of what it looked at: "
    "an assumption, which no model was built to keep."
)
VALUE_CAVEAT = (
    "A weight counts by the length of what it carried, whether that spoke for this sentence or against it."
)


class NativeAttention:
    """Attention weights, averaged over layers and heads: all, or those of `layers=` and `heads=`.

    Each output token is explained by the row of the position that predicts it, in one teacher-forced pass: of
    the decoder, of the cross-attention of an encoder-decoder, or of an encoder's masked or pooled position.
    Evidence: descriptive. See Jain and Wallace 2019, Wiegreffe and Pinter 2019 on what attention explains.
    """

    name = "attention"
    parameters = frozenset({"layers", "heads"})
    reduction: Reduction = "mean"
    caveats: tuple[str, ...] = (CAVEAT,)
    formula: Mapping[str, str | float] = {}
    """What a reader needs, beside layers and heads, to compute the scores again."""

    def lacks(self, capabilities: Capabilities) -> str | None:
        """Needs a provider that attends, in a way that can be combined so."""
        reason = capabilities.refused.get(self.reduction)
        if not capabilities.attends and "mean" not in capabilities.refused:
            return f"needs weights; this provider gives {capabilities.access}"
        return None if reason is None else f"cannot be had from this model: {reason}"

    def check(self, parameters: Mapping[str, object], capabilities: Capabilities) -> None:
        """The layers and heads are those of the model. Raises InputError, UnknownLayerError."""
        query = self._query(parameters)
        if capabilities.layers:
            require_known(query, layers=capabilities.layers, heads=capabilities.heads)

    def effort(self, parameters: Mapping[str, object], capabilities: Capabilities, segments: int) -> Effort:
        """One pass, whatever the sources."""
        return Effort(family="native_attention", least=1, wanted=1)

    async def run(self, task: Task) -> tuple[Finding, ...]:
        """One pass over prompt and output. Raises UnknownLayerError, InputError, CaptureError."""
        query = self._query(task.parameters)
        chosen = (query.layers, query.heads) != (None, None)
        rows = await task.calls.attend(task.prompt, task.output, query, task.watcher)
        scores = from_attention(rows)
        layout = lay_out(
            ids=task.ids,
            texts=[source.text for source in task.prompt.sources],
            output=task.output_text,
            source_tokens=scores.tokens,
            output_tokens=rows.output.spans,
            segment_by=task.segment_by,
            target_by=task.target_by,
        )
        values, outside = aggregate(scores, layout)
        result = Result(
            method=MethodRecord(
                name=self.name,
                family="native_attention",
                evidence="descriptive",
                access="weights",
                parameters={
                    "layers": "all" if query.layers is None else list(query.layers),
                    "heads": "all" if query.heads is None else list(query.heads),
                    "average": "mean",
                    **self.formula,
                },
                fallbacks=task.fallbacks,
            ),
            scores=Scores(
                values=tuple(tuple(row) for row in values.tolist()),
                unit="attention_mass",
                signed=False,
                elsewhere=to_elsewhere(outside),
            ),
            detail=to_detail(scores, task.ids) if task.detail else None,
            fidelity=Measure(reason="no causal check was run"),
            groundedness=Measure(reason="no causal check was run"),
            caveats=(*self.caveats, *([CHOSEN_CAVEAT] if chosen else [])),
        )
        return (Finding(layout=layout, result=result, tokens=output_tokens(rows.output, task.output_text)),)

    def _query(self, parameters: Mapping[str, object]) -> AttentionQuery:
        chosen = {name: _indices(name, parameters.get(name)) for name in self.parameters}
        return AttentionQuery(**chosen, reduction=self.reduction)


class AttentionRollout(NativeAttention):
    """Attention followed down through the layers: Abnar and Zuidema 2020, with all heads or `heads=`.

    In each layer a position is half itself and half the mean of what its heads look at. In an
    encoder-decoder the same holds for its own attention and for its cross-attention, one after the other, and
    what reached the encoder's positions is followed down the encoder's layers. Refused where some layers have
    no attention to follow.
    """

    name = "attention_rollout"
    parameters = frozenset({"heads"})
    reduction: Reduction = "rollout"
    caveats = (CAVEAT, ROLLOUT_CAVEAT)
    formula: Mapping[str, str | float] = {"residual": 0.5}


class ValueWeightedAttention(NativeAttention):
    """Each weight times the norm of what it carries through the output projection: Kobayashi et al. 2020.

    |a (x W_V + b_V) W_O|, summed over heads; each row of a layer is divided by its sum, and layers are
    averaged. A sink to which every head looks carries little, and loses its share.
    """

    name = "attention_value_weighted"
    reduction: Reduction = "value_weighted"
    caveats = (CAVEAT, VALUE_CAVEAT)
    formula: Mapping[str, str | float] = {"norm": "euclidean", "normalised": "each layer's row"}


def _indices(what: str, value: object) -> tuple[int, ...] | None:
    """One index or several; None for all."""
    if value is None:
        return None
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not given or not all(isinstance(i, Integral) and not isinstance(i, bool) for i in given):
        raise InputError(f"{what} is {value!r}; give one index from 0, or a list of them")
    return tuple(sorted({int(i) for i in given}))
