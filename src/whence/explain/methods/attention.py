"""Native attention: where the model looked while it predicted each token."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import cast

from whence.explain.aggregate import aggregate, from_attention, to_detail, to_elsewhere
from whence.explain.layout import lay_out
from whence.explain.methods.base import Finding, Task
from whence.explain.result import Measure, MethodRecord, Result, Scores
from whence.explain.schema import OutputToken
from whence.providers.base import Attends, Capabilities
from whence.providers.errors import InputError
from whence.providers.observations import AttentionQuery, AttentionRows

CAVEAT = (
    "Attention shows where the model looked, not why it wrote this: a passage with a high share may have "
    "changed nothing, and one with a low share may have decided the sentence."
)
CHOSEN_CAVEAT = "Only some layers or heads were averaged, by choice: another choice gives other shares."


class NativeAttention:
    """Attention weights, averaged over layers and heads: all, or those of `layers=` and `heads=`.

    Each output token is explained by the row of the position that predicts it, in one teacher-forced pass.
    Evidence: descriptive. See Jain and Wallace 2019, Wiegreffe and Pinter 2019 on what attention explains.
    """

    name = "attention"
    parameters = frozenset({"layers", "heads"})

    def lacks(self, capabilities: Capabilities) -> str | None:
        """Needs a provider that attends."""
        return None if capabilities.attends else f"needs weights; this provider gives {capabilities.access}"

    async def run(self, task: Task) -> Finding:
        """One pass over prompt and output. Raises UnknownLayerError, InputError, CaptureError."""
        query = AttentionQuery(
            layers=_indices("layers", task.parameters.get("layers")),
            heads=_indices("heads", task.parameters.get("heads")),
        )
        provider = cast("Attends", task.provider)
        rows = await provider.attend(task.prompt, task.output, query, progress=task.progress)
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
            caveats=(CAVEAT, *([CHOSEN_CAVEAT] if query != AttentionQuery() else [])),
        )
        return Finding(layout=layout, result=result, tokens=_tokens(rows, task.output_text), calls=1)


def _indices(what: str, value: object) -> tuple[int, ...] | None:
    """One index or several; None for all."""
    if value is None:
        return None
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not given or not all(isinstance(i, Integral) and not isinstance(i, bool) for i in given):
        raise InputError(f"{what} is {value!r}; give one index from 0, or a list of them")
    return tuple(sorted({int(i) for i in given}))


def _tokens(rows: AttentionRows, text: str) -> tuple[OutputToken, ...]:
    end = len(text)
    return tuple(
        OutputToken(start=span[0], end=span[1], logprob_nats=nats)
        if span is not None
        else OutputToken(start=end, end=end, logprob_nats=nats)
        for span, nats in zip(rows.output.spans, rows.output.logprobs_nats, strict=True)
    )
