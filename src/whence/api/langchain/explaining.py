"""One answer of a chain, explained by whoever is configured for its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage

from whence.api.langchain.carried import Carried, carried_by
from whence.api.langchain.models import Explainers, Identity, identify, not_configured
from whence.api.langchain.records import Record
from whence.api.langchain.retelling import Retold, retell
from whence.api.langchain.traces import Asked
from whence.api.sdk import Explainer
from whence.explain.budget import Budget
from whence.explain.schema import Explanation, TargetKind, TextKind
from whence.providers.errors import WhenceError
from whence.providers.observations import Generation

CARRIED = "citations"
REMOVAL = "leave_one_out"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How answers are explained: as of `Explainer.explain`. `removals`: see `Record`."""

    method: str | Sequence[str]
    segment_by: TextKind
    target_by: TargetKind
    max_tokens: int
    seed: int
    budget: Budget | None
    removals: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Explaining:
    """Turns an answer into its record."""

    def __init__(self, explainers: Explainers, wanted: Wanted) -> None:
        self._explainers = explainers
        self._wanted = wanted

    def explain(self, record: Record, asked: Asked, answer: BaseMessage) -> None:
        """Fill the record, also where it fails."""
        identity = identify(asked.facts, answer.response_metadata)
        try:
            retold = retell(asked.said, asked.documents)
            record.chunks = retold.chunks
            output = carried_by(answer, retold.brought)
            explainer = self._explainers.of(identity)
            if explainer is None:
                record.status, record.reason = "not configured", not_configured(identity)
            else:
                self._explained(record, retold, output, explainer)
            if output.citations is not None:
                self._with_claims(record, retold, output, identity)
        except WhenceError as error:
            record.status, record.reason, record.error = "failed", str(error), error
        except Exception as error:  # noqa: BLE001 - of whatever message, model or integration
            record.status, record.reason, record.error = "failed", type(error).__name__, error

    def _explained(self, record: Record, retold: Retold, output: Generation, explainer: Explainer) -> None:
        wanted = self._wanted
        given: dict[str, Any] = {
            "output": output,
            "segment_by": wanted.segment_by,
            "target_by": wanted.target_by,
            "max_tokens": wanted.max_tokens,
            "seed": wanted.seed,
            "budget": wanted.budget,
        }
        if wanted.budget is None and explainer.capabilities().metered:
            record.plan = explainer.plan(retold.messages, **given, method=wanted.method, **wanted.parameters)
            record.status = "planned"
            record.reason = (
                "calls of this model cost money, and no budget is set: give one, such as "
                f"ExplanationHandler(budget={{'calls': {record.plan.calls}}})"
            )
            return
        record.explanation = explainer.explain(
            retold.messages, **given, method=wanted.method, **wanted.parameters
        )
        record.status = "explained"
        if wanted.removals and any(chunk.sources for chunk in retold.chunks):
            whole = given | {"segment_by": "source"}
            try:
                record.removals = explainer.explain(retold.messages, **whole, method=REMOVAL)
            except WhenceError as error:  # the explanation stands without them
                record.reason, record.error = f"no removals: {error}", error

    def _with_claims(self, record: Record, retold: Retold, output: Generation, identity: Identity) -> None:
        """Add what the answer itself says of what it rests on, which costs nothing."""
        provider = Carried(output, name=identity.provider, model=identity.model)
        claims = Explainer(provider).explain(
            retold.messages,
            output=output,
            method=CARRIED,
            segment_by=self._wanted.segment_by,
            target_by=self._wanted.target_by,
        )
        record.explanation = claims if record.explanation is None else _beside(record.explanation, claims)
        if record.status == "not configured":
            record.status, record.reason = "explained", ""


def _beside(explanation: Explanation, claims: Explanation) -> Explanation:
    """Two results of the same sources and targets as one explanation, the measured first."""
    return explanation.model_copy(update={"results": (*explanation.results, *claims.results)})
