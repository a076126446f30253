"""What became of each answer that a chain's models gave."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal
from uuid import UUID

from whence.api.langchain.retelling import Chunk
from whence.explain.plan import Plan
from whence.explain.schema import Explanation

Status = Literal[
    "waiting", "explained", "planned", "not configured", "nothing to explain", "failed", "dropped"
]


@dataclass(eq=False, kw_only=True)
class Outcome:
    """What became of an answer. `chunks`: what was retrieved for it. `plan`: what an explanation would cost.

    `removals`: the effect of taking each source away, where that was measured. `error`: what went wrong.
    `reason`: why it is not explained, or what is not known of it. `explanation`: with what the answer itself
    carried. `status`: `planned` where it would cost money and no budget allows it, `nothing to explain` where
    the answer has no text, `dropped` where the queue was full or the handler closed.
    """

    chunks: tuple[Chunk, ...] = ()
    plan: Plan | None = None
    removals: Explanation | None = None
    error: BaseException | None = None
    reason: str = ""
    explanation: Explanation | None = None
    status: Status = "waiting"


@dataclass(eq=False, kw_only=True)
class Record(Outcome):
    """One answer of one model.

    `run_id`: of the model's run, and `lineage`: of the runs that it is part of, the nearest first. `model`:
    as LangChain calls it.
    """

    run_id: UUID
    lineage: tuple[UUID, ...]
    names: frozenset[str]
    tags: frozenset[str]
    model: str
    answer: str

    def become(self, outcome: Outcome) -> None:
        """All at one time, as far as a reader can tell: whoever sees the explanation sees the rest."""
        for own in fields(outcome):
            setattr(self, own.name, getattr(outcome, own.name))


@dataclass(kw_only=True)
class Counts:
    """How many answers there were, and what became of them.

    `passed_over`: by the filters and the rate. `called_tools`: turns that are no answers, as they call tools.
    `evicted`: runs that never ended.
    """

    answered: int = 0
    explained: int = 0
    planned: int = 0
    not_configured: int = 0
    nothing_to_explain: int = 0
    failed: int = 0
    dropped: int = 0
    passed_over: int = 0
    called_tools: int = 0
    evicted: int = 0
