"""What became of each answer that a chain's models gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from whence.api.langchain.retelling import Chunk
from whence.explain.plan import Plan
from whence.explain.schema import Explanation

Status = Literal["waiting", "explained", "planned", "not configured", "failed", "dropped"]


@dataclass(eq=False, kw_only=True)
class Record:
    """One answer of one model.

    `run_id`: of the model's run, and `lineage`: of the runs that it is part of, the nearest first. `model`:
    as LangChain calls it. `status`: `planned` where it would cost money and no budget allows it, `dropped`
    where the queue was full or the handler closed. `reason`: why it is not explained. `explanation`: with
    what the answer itself carried. `removals`: the effect of taking each source away, where that was
    measured. `plan`: what an explanation would cost. `error`: what went wrong. `chunks`: what was retrieved
    for it.
    """

    run_id: UUID
    lineage: tuple[UUID, ...]
    names: frozenset[str]
    tags: frozenset[str]
    model: str
    answer: str
    status: Status = "waiting"
    reason: str = ""
    explanation: Explanation | None = None
    removals: Explanation | None = None
    plan: Plan | None = None
    error: Exception | None = None
    chunks: tuple[Chunk, ...] = ()


@dataclass(kw_only=True)
class Counts:
    """How many answers there were, and what became of them; `evicted`: runs that never ended."""

    answered: int = 0
    explained: int = 0
    planned: int = 0
    not_configured: int = 0
    failed: int = 0
    dropped: int = 0
    passed_over: int = 0
    evicted: int = 0
