"""Which retrieved texts share text: one is in another, or begins as another ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SHARED_CHARACTERS = 20
"""So many characters that two texts have in common are no coincidence."""
_POWERS = np.array([pow(0x9E3779B97F4A7C15, k, 2**64) for k in range(SHARED_CHARACTERS)], dtype=np.uint64)


def overlapping(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of texts that share text, in order; blanks are alike.

    Shorter ones share text only if they are the same. Takes time proportional to all text, and to the pairs
    that begin and end as others do.
    """
    texts = [" ".join(text.split()) for text in texts]
    same: dict[str, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        same[text].append(number)
    pairs = {(a, b) for own in same.values() for b in own for a in own if a < b}
    hashes = {number: _hashes(text) for number, text in enumerate(texts) if len(text) >= SHARED_CHARACTERS}
    begun = _held(hashes, {number: int(own[0]) for number, own in hashes.items()})
    ended = _held(hashes, {number: int(own[-1]) for number, own in hashes.items()})
    for holder in hashes:
        for number in begun[holder] - {holder}:
            inside = number in ended[holder] and texts[number] in texts[holder]
            if inside or (holder in ended[number] and _begins_as_ends(texts[number], texts[holder])):
                pairs.add((min(number, holder), max(number, holder)))
    return sorted(pairs)


def _hashes(text: str) -> NDArray[np.uint64]:
    """Of every few characters in a row, one after the other."""
    codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    hashes: NDArray[np.uint64] = sliding_window_view(codes.astype(np.uint64), SHARED_CHARACTERS) @ _POWERS
    return hashes


def _held(hashes: Mapping[int, NDArray[np.uint64]], probes: Mapping[int, int]) -> dict[int, set[int]]:
    """For each text those whose beginning, or end, it seems to hold; of hashes that is no proof."""
    owners: dict[int, set[int]] = defaultdict(set)
    for number, probe in probes.items():
        owners[probe].add(number)
    wanted = np.array(list(owners), dtype=np.uint64)
    return {
        number: {holder for found in own[np.isin(own, wanted)].tolist() for holder in owners[found]}
        for number, own in hashes.items()
    }


def _begins_as_ends(text: str, earlier: str) -> bool:
    probe, last = text[:SHARED_CHARACTERS], earlier[-SHARED_CHARACTERS:]
    at = earlier.find(probe, max(0, len(earlier) - len(text)))
    while at >= 0:
        length = len(earlier) - at
        # The ends first: of repetitive text the rest is long, and in many places.
        if text.endswith(last, 0, length) and text.startswith(earlier[at:]):
            return True
        at = earlier.find(probe, at + 1)
    return False
