"""Citations: what the model itself says that its answer rests on."""

from __future__ import annotations

from collections.abc import Mapping

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from whence.explain.layout import Layout, lay_out
from whence.explain.methods.base import Effort, Finding, Task
from whence.explain.result import Measure, MethodRecord, Result, Scores
from whence.explain.schema import Segment, Target
from whence.explain.values import require_whole
from whence.providers.base import Capabilities
from whence.providers.errors import UnsupportedError
from whence.providers.observations import Citation, Generation

CAVEAT = (
    "The model says itself what it used. Nobody checked that: it may cite a passage that changed nothing, "
    "and leave out one that decided the sentence."
)


class Citations:
    """A passage is cited for a target, 1, or it is not, 0. The answer is written with its claims.

    A claim is made of whole sentences of the sources, so these, or coarser segments, receive it. Evidence:
    self-reported. Raises UnsupportedError for an output that was given: nobody can cite for it.
    """

    name = "citations"
    parameters: frozenset[str] = frozenset()

    def lacks(self, capabilities: Capabilities) -> str | None:
        """Needs a model that cites."""
        return None if capabilities.cites else "needs a model that cites its sources, and this one does not"

    def check(self, parameters: Mapping[str, object], capabilities: Capabilities) -> None:
        """It takes none."""

    def effort(self, parameters: Mapping[str, object], capabilities: Capabilities, segments: int) -> Effort:
        """Nothing beside the answer."""
        return Effort(family="citation", least=0, wanted=0)

    async def run(self, task: Task) -> tuple[Finding, ...]:
        """Read the claims that came with the answer. Raises UnsupportedError, CutError."""
        output = task.output
        if not isinstance(output, Generation) or output.citations is None:
            raise UnsupportedError("citations come with an answer that the model writes; leave output= away")
        require_whole(output, task.max_tokens)
        return (await anyio.to_thread.run_sync(_found, task, output, output.citations),)


def _found(task: Task, output: Generation, citations: tuple[Citation, ...]) -> Finding:
    layout = lay_out(
        ids=task.ids,
        texts=[source.text for source in task.prompt.sources],
        output=output.text,
        source_tokens=[],
        output_tokens=[],
        segment_by=task.segment_by,
        target_by=task.target_by,
    )
    claims = _claims(task, layout, output.text, citations)
    silent = int((claims.sum(axis=1) == 0).sum())
    return Finding(
        layout=layout,
        result=Result(
            method=MethodRecord(
                name=Citations.name,
                family="citation",
                evidence="self_reported",
                access="text",
                fallbacks=task.fallbacks,
            ),
            scores=Scores(values=tuple(map(tuple, claims.tolist())), unit="claim", signed=False),
            fidelity=Measure(reason="no causal check was run"),
            groundedness=Measure(reason="no causal check was run"),
            caveats=(
                CAVEAT,
                *([f"For {silent} of {len(claims)} targets the model cites nothing."] if silent else []),
            ),
        ),
        tokens=None,
    )


def _claims(task: Task, layout: Layout, text: str, citations: tuple[Citation, ...]) -> NDArray[np.float64]:
    """Targets x segments: 1 where a claim about some visible character of the target names the segment."""
    claims = np.zeros((len(layout.targets), len(layout.segments)))
    for citation in citations:
        source = task.prompt.sources[citation.source].text
        targets = [
            index
            for index, unit in enumerate(layout.targets)
            if _shown(text, unit, citation.start, citation.end)
        ]
        segments = [
            index
            for index, unit in enumerate(layout.segments)
            if unit.source == task.ids[citation.source]
            and _shown(source, unit, citation.source_start, citation.source_end)
        ]
        claims[np.ix_(targets, segments)] = 1
    return claims


def _shown(text: str, unit: Target | Segment, start: int, end: int) -> bool:
    """Whether the unit and characters [start, end) share a visible one."""
    return bool(text[max(unit.start or 0, start) : min(unit.end or 0, end)].strip())
