"""Attention weights in one or two bytes each, with an error that can be stated; and their thumbnails.

`u8_log`: code 0 is a weight under 1e-6; codes 1 to 255 are 10 ** (6 * (code - 255) / 254), that is 1e-6 to
1 in equal ratios, and a weight gets the code of the nearest. Codes in equal steps would turn most weights of
a long input into 0. `float16`: IEEE 754 binary16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whence.explain.packing import Dtype

Encoding = Literal["u8_log", "float16"]
DTYPES: Mapping[Encoding, Dtype] = {"u8_log": "|u1", "float16": "<f2"}
NOISE = 1e-6
"""How far above 1 a weight may be: what float32 arithmetic leaves of a sum that should be 1."""
THUMBNAIL_CELLS = 64
"""The most cells of a thumbnail, along each axis."""
AT_ONCE = 1 << 16
"""Weights that are encoded together: what they need beside them stays in the processor's cache."""


class Bounds(NamedTuple):
    """A weight of at least `floor` decodes within `relative` of itself, a lesser one within `absolute`."""

    floor: float
    relative: float
    absolute: float


# u8_log: between neighbours of ratio r the worst weight is their mean, (r - 1) / (r + 1) from either:
# tanh(ln(1e6) / 508) = 0.027189, rounded up for the rounding of float32.
# float16: half a unit in the last place of an 11-bit significand; below 2**-14 units stay 2**-24 wide.
BOUNDS: Mapping[Encoding, Bounds] = {
    "u8_log": Bounds(floor=1e-6, relative=0.0272, absolute=1e-6),
    "float16": Bounds(floor=2.0**-14, relative=2.0**-11, absolute=2.0**-25),
}

_LEVELS = np.append(0.0, 10 ** (6 * (np.arange(1, 256) - 255) / 254))
_EDGES = np.append(_LEVELS[1], (_LEVELS[1:-1] + _LEVELS[2:]) / 2).astype(np.float32)
"""The least weight of each code from 1."""

# The upper half of a float32 (sign, exponent, 7 bits of significand) leaves two codes at most, because
# neighbours in it are 0.8 % apart and codes 5.6 %: a table of the lower code and of where the higher one
# begins is exact, and eight times as fast as a binary search.
_UPPER_HALVES = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
_CODE = np.searchsorted(_EDGES, _UPPER_HALVES, side="right").astype(np.uint8)
_NEXT = np.append(_EDGES, np.float32(np.inf))[_CODE]


def require_weights(weights: NDArray[np.float32]) -> None:
    """Raise ValueError unless every value is between 0 and 1."""
    if not (weights.min() >= 0 and weights.max() <= 1 + NOISE):  # false for NaN
        raise ValueError("attention weights are between 0 and 1, and these are not")


def encode(weights: NDArray[np.float32], encoding: Encoding) -> NDArray[np.uint8] | NDArray[np.float16]:
    """Weights of any shape, one number for each, of the dtype in `DTYPES`."""
    if encoding == "float16":
        return weights.astype(np.float16)
    flat = np.ascontiguousarray(weights, dtype=np.float32).reshape(-1)
    codes = np.empty(flat.shape, dtype=np.uint8)
    for start in range(0, flat.size, AT_ONCE):
        part = flat[start : start + AT_ONCE]
        upper = part.view(np.uint32) >> 16
        codes[start : start + AT_ONCE] = np.take(_CODE, upper) + (part >= np.take(_NEXT, upper))
    return codes.reshape(weights.shape)


def decode(numbers: NDArray[Any], encoding: Encoding) -> NDArray[np.float32]:
    """The weights again, within `BOUNDS`, from what `encode` gave."""
    if encoding == "float16":
        return numbers.astype(np.float32)
    return np.take(_LEVELS.astype(np.float32), numbers)


def thumbnail_shape(queries: int, keys: int) -> tuple[int, int]:
    """Rows and columns of the thumbnail of so many queries and keys."""
    return min(queries, THUMBNAIL_CELLS), min(keys, THUMBNAIL_CELLS)


def pool(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The thumbnail of queries x keys: cell (q, k) of n x m falls into (q * rows // n, k * columns // m).

    Each takes the greatest weight that falls into it, so that no peak disappears.
    """
    rows, columns = thumbnail_shape(*weights.shape)
    # Columns first: along the contiguous axis it is seven times as fast.
    narrow = np.maximum.reduceat(weights, _starts(weights.shape[1], columns), axis=1)
    return np.maximum.reduceat(narrow, _starts(weights.shape[0], rows), axis=0)


def _starts(length: int, cells: int) -> NDArray[np.intp]:
    """For each cell the first i with i * cells // length equal to it."""
    return -(-np.arange(cells) * length // cells)
