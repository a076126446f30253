"""The last explanations, in memory: bounded in number and in bytes, each for the key that asked for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from whence.api.service.problems import ProblemError
from whence.api.service.tensor import Place


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An explanation as JSON, and the weights of its heads beside it: text only, so it can be measured."""

    id: str
    owner: str
    document: bytes
    weights: Mapping[Place, str]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, less some change."""
        return len(self.document) + sum(map(len, self.weights.values()))


class Store:
    """At most `limit` explanations and `limit_bytes` of them; the oldest go first."""

    def __init__(self, *, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.size_bytes = 0

    def __contains__(self, explanation_id: str) -> bool:
        return explanation_id in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, kept: Kept) -> None:
        """Keep it, unless it alone is beyond the limits."""
        self._kept[kept.id] = kept
        self.size_bytes += kept.size_bytes
        while len(self._kept) > self._limit or self.size_bytes > self._limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.size_bytes -= oldest.size_bytes

    def get(self, explanation_id: str, owner: str) -> Kept:
        """The explanation of that id. Raises the 404 problem, also where it is another key's."""
        kept = self._kept.get(explanation_id)
        if kept is None or kept.owner != owner:
            raise ProblemError(
                404,
                "unknown-explanation",
                "No explanation of this id is kept.",
                f"The last {self._limit} are kept in memory, for the key that asked for them; ask again.",
            )
        return kept
