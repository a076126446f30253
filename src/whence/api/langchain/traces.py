"""Runs of a chain that are under way: whose they are, what was retrieved, and what a model was asked."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from whence.api.langchain.said import Document, Said


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one model was asked. `lineage`: the runs that it is part of, the nearest first.

    `names`: of these and of itself. `documents`: all that was retrieved before, anywhere under the first of
    those runs. `facts`: what LangChain tells of the model.
    """

    run_id: UUID
    lineage: tuple[UUID, ...]
    names: frozenset[str]
    tags: frozenset[str]
    said: tuple[Said, ...]
    documents: tuple[Document, ...]
    facts: Mapping[str, object]

    @property
    def root(self) -> UUID:
        """The run that all this is part of."""
        return self.lineage[-1] if self.lineage else self.run_id


@dataclass
class _Run:
    parent: UUID | None
    name: str
    began: float = field(default_factory=time.monotonic)
    documents: tuple[Document, ...] = ()
    asked: Asked | None = None


class Traces:
    """The runs, from any thread. A stream that its reader left never ends: it is dropped by its age."""

    def __init__(self, *, evict_after_seconds: float) -> None:
        self.evicted = 0
        self._evict_after_seconds = evict_after_seconds
        self._runs: OrderedDict[UUID, _Run] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._runs)

    def begin(self, run_id: UUID, parent: UUID | None, name: str | None) -> None:
        """A run has begun."""
        with self._lock:
            self._evict()
            self._runs[run_id] = _Run(parent, name or "")

    def ask(
        self,
        run_id: UUID,
        parent: UUID | None,
        name: str | None,
        *,
        said: tuple[Said, ...],
        tags: frozenset[str],
        facts: Mapping[str, object],
    ) -> Asked:
        """A model is asked."""
        with self._lock:
            self._evict()
            run = _Run(parent, name or "")
            self._runs[run_id] = run
            lineage = self._lineage(run_id)
            names = frozenset(
                known.name for own in (run_id, *lineage) if (known := self._runs.get(own)) and known.name
            )
            root = self._runs.get(lineage[-1]) if lineage else None
            run.asked = Asked(
                run_id=run_id,
                lineage=lineage,
                names=names,
                tags=tags,
                said=said,
                documents=root.documents if root else (),
                facts=facts,
            )
            return run.asked

    def answer(self, run_id: UUID) -> Asked | None:
        """A model has answered: what it was asked, or None where that was dropped, or not wanted."""
        run = self.end(run_id)
        return run.asked if run else None

    def retrieve(self, run_id: UUID, documents: tuple[Document, ...]) -> None:
        """A retriever has ended."""
        with self._lock:
            lineage = self._lineage(run_id)
            root = self._runs.get(lineage[-1]) if lineage else None
            if root is not None:
                root.documents = (*root.documents, *documents)
            self._runs.pop(run_id, None)

    def end(self, run_id: UUID) -> _Run | None:
        """A run has ended, well or not."""
        with self._lock:
            return self._runs.pop(run_id, None)

    def _lineage(self, run_id: UUID) -> tuple[UUID, ...]:
        found: list[UUID] = []
        run = self._runs.get(run_id)
        while run is not None and run.parent is not None and run.parent not in found:
            found.append(run.parent)
            run = self._runs.get(run.parent)
        return tuple(found)

    def _evict(self) -> None:
        oldest = time.monotonic() - self._evict_after_seconds
        while self._runs:
            run_id, run = next(iter(self._runs.items()))
            if run.began > oldest:
                return
            del self._runs[run_id]
            self.evicted += 1
