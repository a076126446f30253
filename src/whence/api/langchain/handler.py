"""A callback handler for chains, agents and graphs of LangChain that exist: their answers are explained."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID
from weakref import WeakSet

from langchain_core.language_models import BaseChatModel

from whence.api.langchain.by_hand import aside
from whence.api.langchain.explaining import Explaining, Wanted
from whence.api.langchain.listening import Listening
from whence.api.langchain.models import UNKNOWN, Explainers, Identity, identify
from whence.api.langchain.records import Counts, Outcome, Record
from whence.api.langchain.report import RetrievalReport, report_of
from whence.api.langchain.said import Answer
from whence.api.langchain.traces import Asked, Traces
from whence.api.langchain.worker import InLine, Worker
from whence.api.sdk import Explainer
from whence.explain.budget import Budget
from whence.explain.render import write_whole
from whence.explain.render.viewer import to_viewer
from whence.explain.schema import Explanation, TargetKind, TextKind
from whence.providers.errors import InputError, NameUnknownError

Mode = Literal["background", "inline"]
log = logging.getLogger("whence.langchain")
ENDED = "the program ended"


class ExplanationHandler(Listening):
    """Explains what the models of a chain answer, when it is given as one of the chain's callbacks.

    `explainers`: who explains which model: an `Explainer` or several, each for the model that it names, or a
    mapping to them from LangChain's `ls_provider:ls_model_name`, from `ls_provider`, or from `*`. `models`:
    chat models that are asked themselves, for texts alone. Of a turn that calls tools nothing is explained.

    `method`, `segment_by`, `target_by`, `max_tokens`, `seed`, `parameters`: as of `Explainer.explain`.
    `budget`: of one explanation, and its removals have what that leaves; without one nothing is spent where
    calls cost money, and what it would cost is recorded. `removals`: also measure what changes when each
    retrieved document is taken away.

    `mode`: `background`, in a thread of its own, with `queue_size` answers waiting at most, or `inline`,
    where the chain waits. `rate`: the share of chains that are explained, in [0, 1]. `tags`, `names`,
    `model_names`: only runs with one of these tags, of these names (their own, or of a chain around them), of
    these models. `keep`: how many records are kept. `evict_after_seconds`: of a run in which nothing happens
    for so long, such as a stream whose reader left, nothing is kept. `on_explanation` is told of each record
    that is done: in the background by the handler's own thread, and what it asks of models is not explained.
    Raises InputError, UnknownMethodError.
    """

    def __init__(
        self,
        explainers: Explainer | Iterable[Explainer] | Mapping[str, Explainer] | None = None,
        *,
        models: Sequence[BaseChatModel] = (),
        method: str | Sequence[str] = "auto",
        segment_by: TextKind = "sentence",
        target_by: TargetKind = "sentence",
        max_tokens: int = 512,
        seed: int = 0,
        budget: Budget | Mapping[str, object] | None = None,
        removals: bool = True,
        mode: Mode = "background",
        rate: float = 1.0,
        tags: Collection[str] | None = None,
        names: Collection[str] | None = None,
        model_names: Collection[str] | None = None,
        queue_size: int = 64,
        keep: int = 256,
        evict_after_seconds: float = 600.0,
        on_explanation: Callable[[Record], None] | None = None,
        **parameters: object,
    ) -> None:
        if mode not in get_args(Mode):
            raise InputError(f"mode is {mode!r}; choose one of {', '.join(get_args(Mode))}")
        if not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise InputError(f"rate is {rate!r}; it is a share of the chains, from 0 to 1")
        for name, number in (("queue_size", queue_size), ("keep", keep)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise InputError(f"{name} is {number!r}; it is a whole number, 1 or greater")
        if not isinstance(evict_after_seconds, int | float) or not evict_after_seconds > 0:
            raise InputError(f"evict_after_seconds is {evict_after_seconds!r}; it is greater than 0")
        for name, wanted in (("tags", tags), ("names", names), ("model_names", model_names)):
            if isinstance(wanted, str):
                raise InputError(f"{name} is {wanted!r}; pass a list: {name}=[{wanted!r}]")
        if on_explanation is not None and not callable(on_explanation):
            raise InputError(f"on_explanation is {on_explanation!r}; pass a function of a Record")
        self._explaining = Explaining(
            Explainers(explainers, models),
            Wanted(
                method=method,
                segment_by=segment_by,
                target_by=target_by,
                max_tokens=max_tokens,
                seed=seed,
                budget=Budget.of(budget),
                removals=removals,
                parameters=parameters,
            ),
        )
        self._rate = rate
        self._tags, self._names, self._models = (
            None if wanted is None else frozenset(wanted) for wanted in (tags, names, model_names)
        )
        self._keep = keep
        self._told = on_explanation
        super().__init__(Traces(evict_after_seconds=evict_after_seconds))
        self.errors = self._harmless.errors
        self._worker = InLine() if mode == "inline" else Worker(places=queue_size)
        # Quick enough for an event loop, and so in the order in which things happen; what waits is not.
        self.run_inline = mode == "background"
        self._records: OrderedDict[UUID, Record] = OrderedDict()
        self._counts = Counts()
        self._lock = threading.Lock()
        _LIVING.add(self)

    # What it found ------------------------------------------------------------------------------------------

    @property
    def records(self) -> tuple[Record, ...]:
        """What became of each answer, the oldest first."""
        with self._lock:
            return tuple(self._records.values())

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Those that are done, the oldest first."""
        return tuple(record.explanation for record in self.records if record.explanation is not None)

    @property
    def counts(self) -> Counts:
        """How many answers there were, and what became of them."""
        with self._lock:
            return replace(self._counts, evicted=self._traces.evicted)

    def get(self, run_id: UUID | str) -> Record | None:
        """The record of a model's run, or of the last answer within a chain's run; None for no record.

        Raises InputError for what is no id.
        """
        try:
            wanted = run_id if isinstance(run_id, UUID) else UUID(run_id)
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"run_id is {run_id!r}; pass a run's UUID, or its text") from None
        with self._lock:
            if wanted in self._records:
                return self._records[wanted]
            within = [record for record in self._records.values() if wanted in record.lineage]
            return within[-1] if within else None

    def retrieval_report(self, run_id: UUID | str) -> RetrievalReport:
        """What became of the documents that were retrieved for an answer.

        Raises NameUnknownError where no record has the run, InputError where it is not explained.
        """
        record, explanation = self._explained(run_id)
        failed = record.reason if record.error is not None else ""
        return report_of(explanation, record.chunks, record.removals, reason=failed)

    def save(self, run_id: UUID | str, path: str | Path) -> Path:
        """Write the explanation of an answer as the viewer, with its retrieval report. Returns the path.

        Raises as `retrieval_report` does; InputError for an ending that is not .html, OSError.
        """
        file = Path(path)
        if file.suffix.lower() != ".html":
            raise InputError(f"{file.name}: this writes the viewer; let the name end in .html")
        record, explanation = self._explained(run_id)
        report = self.retrieval_report(run_id).model_dump_json() if record.chunks else None
        write_whole(file, to_viewer(explanation, report))
        return file

    def _explained(self, run_id: UUID | str) -> tuple[Record, Explanation]:
        record = self.get(run_id)
        if record is None:
            raise NameUnknownError("run", str(run_id), [str(known.run_id) for known in self.records])
        if record.explanation is None:
            raise InputError(
                f"this answer is not explained ({record.status}{record.reason and ': '}{record.reason}); "
                "wait for it with flush(), or mend what stands in the way"
            )
        return record, record.explanation

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until every answer so far is worked off; whether it is.

        Raises InputError in `on_explanation`, which it would wait for.
        """
        return self._worker.flush(timeout_s)

    def close(self) -> None:
        """Take no more answers, and drop those that wait."""
        self._worker.close()

    # What it does with that ---------------------------------------------------------------------------------

    def _passes(self, asked: Asked) -> bool:
        # A model that is yet to tell its name may be one of those that are wanted.
        model = identify(asked.facts, {}).model if self._models is not None else UNKNOWN
        return self._counted(self._wants(asked) and (model == UNKNOWN or self._is_wanted(model)))

    def _wants(self, asked: Asked) -> bool:
        """Whether it passes the filters, and is drawn. All models of one chain are drawn together."""
        if self._tags is not None and not self._tags & asked.tags:
            return False
        if self._names is not None and not self._names & asked.names:
            return False
        if self._rate == 1:
            return True
        drawn = int.from_bytes(blake2b(asked.root.bytes, digest_size=8).digest()) / 2**64
        return drawn < self._rate

    def _is_wanted(self, model: str) -> bool:
        return self._models is None or model in self._models

    def _counted(self, wanted: bool) -> bool:
        if not wanted:
            with self._lock:
                self._counts.passed_over += 1
        return wanted

    def _called_tools(self) -> None:
        with self._lock:
            self._counts.called_tools += 1

    def _answered(self, asked: Asked, answer: Answer) -> None:
        identity = identify(asked.facts, answer.told)
        if not self._counted(self._is_wanted(identity.model)):
            return
        record = Record(
            run_id=asked.run_id,
            lineage=asked.lineage,
            names=asked.names,
            tags=asked.tags,
            model=str(identity),
            answer=answer.text,
        )
        with self._lock:
            self._counts.answered += 1
            self._records[record.run_id] = record
            while len(self._records) > self._keep:
                self._records.popitem(last=False)
        self._worker.put(partial(self._explain, record, asked, answer, identity), partial(self._drop, record))

    def _explain(self, record: Record, asked: Asked, answer: Answer, identity: Identity) -> None:
        with self._harmless:
            self._done(record, self._explaining.explain(asked, answer, identity))
            self._tell(record)

    def _drop(self, record: Record, reason: str) -> None:
        self._done(record, Outcome(status="dropped", reason=reason))
        if self._told is not None:
            self._worker.tell(partial(self._tell, record))

    def _done(self, record: Record, outcome: Outcome) -> None:
        with self._lock:
            record.become(outcome)
            counted = outcome.status.replace(" ", "_")
            setattr(self._counts, counted, getattr(self._counts, counted) + 1)
        if outcome.error is not None:
            self._harmless.keep(outcome.error)

    def _tell(self, record: Record) -> None:
        if self._told is not None:
            with self._harmless:
                aside(partial(self._told, record))

    def _renew(self) -> None:
        """In a fork, which has none of the threads that would let go of these."""
        self._lock = threading.Lock()
        self._traces.renew()
        self._worker.renew()

    def _end(self) -> None:
        """The program ends: nobody waits for what waits."""
        dropped = self._counts.dropped
        self._worker.close(ENDED)
        if self._counts.dropped > dropped:
            log.warning("%d answers are not explained: %s", self._counts.dropped - dropped, ENDED)


_LIVING: WeakSet[ExplanationHandler] = WeakSet()


def _of_all(work: Callable[[ExplanationHandler], None]) -> None:
    for handler in list(_LIVING):
        work(handler)


atexit.register(_of_all, ExplanationHandler._end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(_of_all, ExplanationHandler._renew))
