"""A matrix as text: little-endian float32, row by row, gzip (RFC 1952), base64 (RFC 4648)."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib

import numpy as np
from numpy.typing import NDArray


def pack(matrix: NDArray[np.float32]) -> str:
    """Pack a two-dimensional matrix; the same values give the same text."""
    raw = np.ascontiguousarray(matrix, dtype="<f4").tobytes()
    return base64.b64encode(gzip.compress(raw, mtime=0)).decode("ascii")


def unpack(text: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Unpack what `pack` made. Raises ValueError where it is damaged, of another shape, or not finite.

    Never inflates beyond what `shape` needs, so a small text cannot fill the memory.
    """
    rows, columns = shape
    if rows < 0 or columns < 0:
        raise ValueError(f"the shape {shape} is negative")
    expected_bytes = rows * columns * 4
    try:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        raw = inflater.decompress(base64.b64decode(text, validate=True), expected_bytes + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"the packed matrix is damaged: {error}") from error
    if inflater.unused_data or (len(raw) == expected_bytes and not inflater.eof):
        raise ValueError("the packed matrix is damaged: it does not end where its gzip stream does")
    if len(raw) != expected_bytes:
        raise ValueError(f"the packed matrix does not hold {rows} x {columns} values of float32")
    matrix = np.frombuffer(raw, dtype="<f4").astype(np.float32).reshape(shape)
    if not np.isfinite(matrix).all():
        raise ValueError("the packed matrix holds NaN or infinity")
    return matrix
