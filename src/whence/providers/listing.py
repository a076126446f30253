"""Models that a provider can name by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whence.providers.base import Access


@dataclass(frozen=True, kw_only=True)
class ListedModel:
    """`name`: as it is given to `resolve`. `access`: the deepest level; None where it cannot be explained.

    `why`: why it is not deeper.
    """

    name: str
    access: Access | None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """`where`: who holds them, as a reader would call it."""

    where: str
    models: Sequence[ListedModel]
