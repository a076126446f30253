"""The bytes of a GGUF file in their order, and the values that they are.

The file is read, never mapped: a mapped file that shrinks, or a disk that goes away, would end the process.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import Any, BinaryIO

import numpy as np
from gguf import GGUFValueType

from whence.providers.errors import ModelLoadError

MOST_HEADER_BYTES = 1 << 27
"""128 MiB. Nearly all of a header is its vocabulary: 262,144 tokens of 8 bytes, with their scores, types and
514,000 merges of 12 bytes, take 16 MiB."""
NUMBERS: dict[int, np.dtype[Any]] = {
    GGUFValueType.UINT8: np.dtype("<u1"),
    GGUFValueType.INT8: np.dtype("<i1"),
    GGUFValueType.UINT16: np.dtype("<u2"),
    GGUFValueType.INT16: np.dtype("<i2"),
    GGUFValueType.UINT32: np.dtype("<u4"),
    GGUFValueType.INT32: np.dtype("<i4"),
    GGUFValueType.FLOAT32: np.dtype("<f4"),
    GGUFValueType.BOOL: np.dtype("?"),
    GGUFValueType.UINT64: np.dtype("<u8"),
    GGUFValueType.INT64: np.dtype("<i8"),
    GGUFValueType.FLOAT64: np.dtype("<f8"),
}
"""The types of numbers and bools, by their number in the file."""
_CHUNK_BYTES = 1 << 20
_LENGTH = Struct("<Q")


class Cursor:
    """The bytes of a file in their order, read in chunks as they are needed. `at`: where the next one is."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._data = bytearray()
        self.name = name
        self.at = 0
        try:
            self.size_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
        except OSError as error:
            raise self._unreadable(error) from error

    def room(self, count: int, what: str) -> int:
        """Where the next `count` bytes end; `what`: they are. Raises ModelLoadError where there are fewer."""
        end = self.at + count
        if end > self.size_bytes:
            raise self.damaged(f"{what} takes {count} bytes and {self.size_bytes - self.at} are left")
        if end > MOST_HEADER_BYTES:
            raise self.damaged(
                f"{what} takes {count} bytes, and a header has {MOST_HEADER_BYTES >> 20} MiB at most"
            )
        return end

    def need(self, count: int, what: str) -> None:
        """Have the next `count` bytes in memory."""
        end = self.room(count, what)
        while (had := len(self._data)) < end:
            try:
                chunk = self._file.read(min(_CHUNK_BYTES, self.size_bytes - had))
            except OSError as error:
                raise self._unreadable(error) from error
            if not chunk:
                raise ModelLoadError(
                    f"{self.name} became shorter while it was read: it had {self.size_bytes} bytes and ends "
                    f"at byte {had} now; wait until nothing writes to it, or pull the model again"
                )
            self._data += chunk

    def take(self, count: int, what: str) -> bytearray:
        """The next `count` bytes."""
        self.need(count, what)
        begin, self.at = self.at, self.at + count
        return self._data[begin : self.at]

    def integer(self, width_bytes: int, what: str) -> int:
        """An unsigned integer."""
        return int.from_bytes(self.take(width_bytes, what), "little")

    def text(self, what: str, *, most_bytes: int) -> str:
        """A string of valid UTF-8."""
        at = self.at
        size_bytes = self.integer(8, f"the length of {what}")
        if size_bytes > most_bytes:
            raise self.damaged(f"{what} has {size_bytes} bytes, and {most_bytes} are allowed", at)
        try:
            return self.take(size_bytes, what).decode()
        except UnicodeDecodeError as error:
            raise self.damaged(f"{what} is not UTF-8", at + 8 + error.start) from error

    def texts(self, count: int, what: str) -> list[str]:
        """An array of strings: one loop without calls, since vocabularies have hundreds of thousands."""
        self.room(count * _LENGTH.size, what)
        found = []
        data, at = self._data, self.at
        for _ in range(count):
            if at + 8 > len(data):
                self.at = at
                self.need(8, what)
            (size_bytes,) = _LENGTH.unpack_from(data, at)
            at += 8
            if at + size_bytes > len(data):
                self.at = at
                self.need(size_bytes, what)
            found.append(data[at : at + size_bytes].decode("utf-8", "surrogateescape"))
            at += size_bytes
        self.at = at
        return found

    def numbers(self, type_: int, count: int, what: str) -> list[Any]:
        """Numbers or bools of one of the types in NUMBERS."""
        dtype = NUMBERS[type_]
        at = self.at
        array = np.frombuffer(self.take(count * dtype.itemsize, what), dtype)
        if type_ == GGUFValueType.BOOL and array.view(np.uint8).max(initial=0) > 1:
            raise self.damaged(f"{what} has a bool that is neither 0 nor 1", at)
        if dtype.itemsize > 2:
            plain: list[Any] = array.tolist()
            return plain
        # An object for each would take up to 40 times the bytes in the file; equal ones share theirs.
        shared: dict[Any, Any] = {}
        return [shared.setdefault(n, n) for n in array.astype(dtype.newbyteorder("=")).data]

    def damaged(self, why: str, at: int | None = None) -> ModelLoadError:
        """The error for what is wrong at a byte; the next one, unless `at` is given."""
        return ModelLoadError(
            f"{self.name} is damaged at byte {self.at if at is None else at}: {why}; pull the model again "
            "(ollama pull NAME)"
        )

    def _unreadable(self, error: OSError) -> ModelLoadError:
        return ModelLoadError(
            f"{self.name} cannot be read after byte {len(self._data)} ({error.strerror or error}): see "
            "whether its disk is there and sound, or pull the model again (ollama pull NAME)"
        )
