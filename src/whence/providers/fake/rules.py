"""What a FakeProvider writes, and what each word of its sources is worth to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

BASE_NATS = 0.1
"""What every token costs, whatever the sources say."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A sentence, and the words of the sources that carry it.

    `cues`: word -> nats. `kind`: `additive`, each cue present is worth its own nats; `redundant`, any cue
    suffices and is worth the largest; `all_of`, the sum is gained only where every cue is present.
    """

    text: str
    cues: Mapping[str, float]
    kind: Literal["additive", "redundant", "all_of"] = "additive"

    def value_nats(self, words: frozenset[str]) -> float:
        """What sources that hold `words` are worth to this sentence."""
        present = [nats for cue, nats in self.cues.items() if cue in words]
        if self.kind == "additive":
            return sum(present)
        if self.kind == "redundant":
            return max(present, default=0.0)
        return sum(present) if len(present) == len(self.cues) else 0.0

    def token_nats(self, words: frozenset[str], size: int) -> float:
        """The log-probability of each of its `size` tokens: what is missing is lost in equal parts."""
        return -BASE_NATS - (self.full_nats - self.value_nats(words)) / size

    @property
    def full_nats(self) -> float:
        """What sources that hold every cue are worth."""
        return self.value_nats(frozenset(self.cues))


EXAMPLE_RULES = (
    Rule(text="The dose is low. ", cues={"alpha": 3.0, "beta": 1.0}),
    Rule(text="The scan was clear. ", cues={"gamma": 2.0, "delta": 2.0}, kind="redundant"),
    Rule(text="The plan is agreed.", cues={"epsilon": 1.0, "zeta": 1.0, "eta": 1.0}, kind="all_of"),
)


NOTHING = Rule(text="Nothing is known.", cues={})
