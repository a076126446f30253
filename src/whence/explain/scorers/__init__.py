"""The scorers by name: how well a target is still said by a text that was written again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol, cast, runtime_checkable

from whence.providers.errors import InputError, UnknownScorerError

SCORERS: dict[str, str] = {
    "overlap": "whence.explain.scorers.overlap:Overlap",
    "embedding": "whence.explain.scorers.embedding:Embedding",
}


@runtime_checkable
class Scorer(Protocol):
    """Compares targets with a text. `caveats`: what a reader of its numbers must know."""

    @property
    def name(self) -> str:
        """How records call it."""
        ...

    @property
    def caveats(self) -> tuple[str, ...]:
        """What its numbers do not say, in sentences."""
        ...

    def score(self, targets: Sequence[str], text: str) -> list[float]:
        """The similarity of each target to its best-aligned window of `text`: 1 is said, 0 is not."""
        ...


def get_scorer(scorer: str | Callable[[str, str], float], **options: Any) -> Scorer:
    """The scorer of that name, or one that calls `scorer(target, text)`.

    `options`: `model` for `embedding`, none for the others.
    Raises UnknownScorerError, InputError for an option it does not have, and what the scorer itself raises.
    """
    if not isinstance(scorer, str):
        from whence.explain.scorers.custom import Custom

        _refuse("a function as a scorer", options)
        return Custom(scorer)
    if scorer not in SCORERS:
        raise UnknownScorerError(
            "scorer", scorer, SCORERS, "A function of (target, text) that returns a number is a scorer, too"
        )
    _refuse(f"the scorer {scorer!r}", options, {"model"} if scorer == "embedding" else set())
    module, _, attribute = SCORERS[scorer].partition(":")
    return cast("Scorer", getattr(import_module(module), attribute)(**options))


def _refuse(what: str, options: dict[str, Any], known: set[str] | None = None) -> None:
    if unknown := sorted(set(options) - (known or set())):
        raise InputError(
            f"{what} has no option {', '.join(unknown)}; it takes {', '.join(known or ()) or 'none'}. "
            "Leave the others away"
        )


__all__ = ["SCORERS", "Scorer", "get_scorer"]
