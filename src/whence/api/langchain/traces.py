"""Runs of a chain that are under way: whose they are, what was retrieved, and what a model was asked."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from whence.api.langchain.said import Retrieved, Said

DOCUMENTS = 200
"""So many, the last ones, are kept of a run: what is searched for in a prompt is not without limit."""
GONE = 1000
"""So many of the runs that were evicted are remembered by their ids."""


@dataclass(kw_only=True)
class Asked:
    """What one model was asked. `lineage`: the runs that it is part of, the nearest first.

    `names`: of these and of itself. `documents`: what was retrieved before, under the nearest of those runs
    under which anything was. `facts`: what LangChain tells of the model. `notes`: what is not known of it.
    `said`, `error`: the messages, or why they could not be read.
    """

    run_id: UUID
    lineage: tuple[UUID, ...]
    names: frozenset[str]
    tags: frozenset[str]
    documents: tuple[Retrieved, ...]
    facts: Mapping[str, object]
    notes: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    error: Exception | None = None

    @property
    def root(self) -> UUID:
        """The run that all this is part of."""
        return self.lineage[-1] if self.lineage else self.run_id


@dataclass(eq=False, kw_only=True)
class _Run:
    run_id: UUID
    parent: UUID | None
    name: str
    retrieves: bool = False
    active: float = 0.0
    found: deque[Retrieved] = field(default_factory=deque)
    cut: bool = False
    asked: Asked | None = None


class Traces:
    """The runs, from any thread. A stream that its reader left never ends: it is dropped by its age.

    Old is a run in which, as in all that it runs, nothing has happened for so long.
    """

    def __init__(self, *, evict_after_seconds: float) -> None:
        self.evicted = 0
        self._evict_after_seconds = evict_after_seconds
        # The least active first: whatever happens in a run puts it before the runs that it is part of.
        self._runs: OrderedDict[UUID | None, _Run] = OrderedDict()
        self._gone: OrderedDict[UUID | None, None] = OrderedDict()
        self.renew()

    def __len__(self) -> int:
        return len(self._runs)

    def renew(self) -> None:
        """In a fork: nobody there could let go of a lock that was held."""
        self._lock = threading.Lock()

    def begin(self, run_id: UUID, parent: UUID | None, name: str | None, *, retrieves: bool = False) -> None:
        """A run has begun."""
        with self._lock:
            self._begin(_Run(run_id=run_id, parent=parent, name=name or "", retrieves=retrieves))

    def ask(
        self,
        run_id: UUID,
        parent: UUID | None,
        name: str | None,
        *,
        tags: frozenset[str],
        facts: Mapping[str, object],
    ) -> Asked:
        """A model is asked."""
        run = _Run(run_id=run_id, parent=parent, name=name or "")
        with self._lock:
            around = self._begin(run)
            lineage = tuple(one.parent for one in (run, *around) if one.parent is not None)
            near = next((one for one in around if one.found), run)
            notes = []
            if lineage and lineage[-1] in self._gone:
                notes.append(
                    f"runs around it were evicted, as nothing had happened in them for "
                    f"{self._evict_after_seconds:g} seconds: what they retrieved is not known"
                )
            if near.cut:
                notes.append(
                    f"more than {DOCUMENTS} documents were retrieved: the last {DOCUMENTS} are known"
                )
            run.asked = Asked(
                run_id=run_id,
                lineage=lineage,
                names=frozenset(one.name for one in (run, *around) if one.name),
                tags=tags,
                documents=tuple(near.found),
                facts=facts,
                notes=tuple(notes),
            )
            return run.asked

    def answer(self, run_id: UUID) -> Asked | None:
        """A model has answered: what it was asked, or None where that was dropped, or not wanted."""
        run = self._end(run_id)
        return run.asked if run else None

    def retrieve(self, run_id: UUID, documents: Iterable[Retrieved]) -> None:
        """A retriever has ended: all that it is part of has its documents.

        What a retriever brings inside another is known there only: the outer one decides what comes of it.
        """
        with self._lock:
            run = self._runs.pop(run_id, None)
            brought = list(documents)  # not before: the run has ended, whatever is the matter with them
            for one in self._touch(run) if run else ():
                one.found.extend(brought)
                while len(one.found) > DOCUMENTS:
                    one.found.popleft()
                    one.cut = True
                if one.retrieves:
                    return

    def end(self, run_id: UUID) -> None:
        """A run has ended, well or not."""
        self._end(run_id)

    def _end(self, run_id: UUID) -> _Run | None:
        with self._lock:
            run = self._runs.pop(run_id, None)
            if run is not None:
                self._touch(run)
            return run

    def _begin(self, run: _Run) -> list[_Run]:
        run.active = time.monotonic()
        self._runs[run.run_id] = run
        around = self._touch(run)
        self._evict(run.active - self._evict_after_seconds)
        return around

    def _touch(self, run: _Run) -> list[_Run]:
        """The known runs that it is part of, the nearest first; something has happened in them."""
        now = time.monotonic()
        found: list[_Run] = []
        around = self._runs.get(run.parent)
        while around is not None and around is not run and around not in found:
            found.append(around)
            around.active = now
            self._runs.move_to_end(around.run_id)
            around = self._runs.get(around.parent)
        return found

    def _evict(self, oldest: float) -> None:
        while (run := next(iter(self._runs.values()))).active <= oldest:
            del self._runs[run.run_id]
            self._gone[run.run_id] = None
            self.evicted += 1
        while len(self._gone) > GONE:
            self._gone.popitem(last=False)
