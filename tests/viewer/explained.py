"""Explanations to look at: of the bundled model, whose attention is real, and made up to be hard to draw."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache

from whence import Explainer, Explanation
from whence.demo.records import PROMPT, generate
from whence.explain.result import Measure, MethodRecord, Result, Scores
from whence.explain.schema import Cost, Output, PromptRecord, Segment, SourceRecord, Target


@cache
def record() -> Explanation:
    """Two methods, token detail, and all attention."""
    return Explainer("demo").explain(
        PROMPT, sources=[generate(3).text], method=["attention", "leave_one_out"], detail=True, attention=True
    )


@cache
def causal() -> Explanation:
    """A causal method, and attention beside it."""
    return Explainer("demo").explain(
        PROMPT, sources=[generate(3).text], method="leave_one_out", attention=True
    )


def scored(*rows: tuple[float, ...]) -> Explanation:
    """Scores in nats, each row of a sentence, each column of a passage of two documents."""
    texts = ["First passage here. Second passage there. Third one.", "Another passage. And the last one."]
    answer = "Alpha one. Beta two. Gamma three."
    sources = tuple(
        SourceRecord(id=f"s{at}", name=f"document {at}", kind="document", text=text)
        for at, text in enumerate(texts, start=1)
    )
    segments = [(source.id, span) for source in sources for span in _sentences(source.text or "")]
    targets = [Target(start=start, end=end, kind="sentence") for start, end in _sentences(answer)]
    unmeasured = Measure(reason="not asked for")
    return Explanation(
        id="scored",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        provider="fake",
        model="fake",
        prompt=PromptRecord(instruction="", messages=()),
        sources=sources,
        segments=tuple(Segment(source=own, kind="sentence", start=a, end=b) for own, (a, b) in segments),
        output=Output(text=answer, given=True, targets=tuple(targets), tokens=None),
        results=(
            Result(
                method=MethodRecord(
                    name="leave_one_out", family="logprob", evidence="causal", access="logprobs"
                ),
                scores=Scores(values=rows, unit="nats", signed=True, elsewhere=None),
                fidelity=unmeasured,
                groundedness=unmeasured,
                caveats=("A caveat.",),
            ),
        ),
        cost=Cost(calls=1, seconds=1.0),
    )


def _sentences(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"[^.]+\.", text)]
