"""A matrix as text: little-endian, row by row, gzip (RFC 1952) where it is large, base64 (RFC 4648)."""

from __future__ import annotations

import base64
import binascii
import gzip
import math
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Dtype = Literal["<f4", "<f2", "|u1"]
BEST = 9


def pack(matrix: NDArray[Any], dtype: Dtype = "<f4", *, level: int = BEST) -> str:
    """Pack a two-dimensional matrix, with gzip; the same values give the same text."""
    return _to_base64(gzip.compress(_to_bytes(matrix, dtype), level, mtime=0))


def unpack(text: str, shape: tuple[int, int], dtype: Dtype = "<f4") -> NDArray[Any]:
    """Unpack what `pack` made. Raises ValueError where it is damaged, of another shape, or not finite.

    Never inflates beyond what `shape` needs, so a small text cannot fill the memory.
    """
    expected_bytes = size_bytes(shape, dtype)
    try:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        raw = inflater.decompress(_from_base64(text), expected_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"the packed matrix is damaged: {error}") from error
    if inflater.unused_data or (len(raw) == expected_bytes and not inflater.eof):
        raise ValueError("the packed matrix is damaged: it does not end where its gzip stream does")
    return _from_bytes(raw, shape, dtype)


def pack_plain(array: NDArray[Any], dtype: Dtype) -> str:
    """As `pack`, without gzip: for what is small."""
    return _to_base64(_to_bytes(array, dtype))


def unpack_plain(text: str, shape: tuple[int, ...], dtype: Dtype) -> NDArray[Any]:
    """Unpack what `pack_plain` made. Raises ValueError as `unpack` does."""
    return _from_bytes(_from_base64(text), shape, dtype)


def size_bytes(shape: tuple[int, ...], dtype: Dtype) -> int:
    """What an array takes before gzip and base64. Raises ValueError for a negative shape."""
    if any(length < 0 for length in shape):
        raise ValueError(f"the shape {shape} is negative")
    return math.prod(shape) * np.dtype(dtype).itemsize


def base64_characters(count_bytes: int) -> int:
    """How many characters so many bytes take."""
    return -(-count_bytes // 3) * 4


def _to_bytes(array: NDArray[Any], dtype: Dtype) -> bytes:
    return np.ascontiguousarray(array, dtype=dtype).tobytes()


def _from_bytes(raw: bytes, shape: tuple[int, ...], dtype: Dtype) -> NDArray[Any]:
    kind = np.dtype(dtype).newbyteorder("=")
    if len(raw) != size_bytes(shape, dtype):
        raise ValueError(f"the packed matrix does not hold {' x '.join(map(str, shape))} values of {kind}")
    array = np.frombuffer(raw, dtype=dtype).astype(kind).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("the packed matrix holds NaN or infinity")
    return array


def _to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the packed matrix is damaged: {error}") from error
