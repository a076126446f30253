"""What a GGUF file's header takes to be read: memory in proportion to the file, and little time."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value
from tests.providers.ollama.gguf.forging import (
    BOOL,
    F32,
    I8,
    STRING,
    U8,
    U32,
    array,
    gguf,
    pair,
    tensor,
    text,
    u32,
)

from whence.providers.errors import ModelLoadError
from whence.providers.ollama.gguf.cursor import MOST_HEADER_BYTES
from whence.providers.ollama.gguf.header import read_header


def peak_bytes(path: Path, *, refused: str | None = None) -> int:
    """The most memory that reading the header took."""
    tracemalloc.start()
    try:
        if refused is None:
            read_header(path)
        else:
            with pytest.raises(ModelLoadError, match=refused):
                read_header(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_tensors_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.write_bytes(gguf([], [tensor(shape=(1 << 28,))]))
    os.truncate(path, 64 + (1 << 30))
    assert peak_bytes(path) < 4 << 20


@pytest.mark.parametrize(
    "raw",
    [
        gguf([pair(b"a", STRING, text(b"", MOST_HEADER_BYTES))]),
        gguf([array(b"a", U8, MOST_HEADER_BYTES, b"")]),
        gguf([array(b"a", STRING, MOST_HEADER_BYTES // 8, b"")]),
        gguf(pair_count=MOST_HEADER_BYTES // 14),
        gguf(tensor_count=MOST_HEADER_BYTES // 25),
    ],
    ids=["string", "numbers", "strings", "keys", "tensors"],
)
def test_a_header_past_the_limit_is_refused_before_it_is_read(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "sparse"
    path.write_bytes(raw)
    os.truncate(path, 1 << 30)
    assert peak_bytes(path, refused="a header has 128 MiB at most") < 4 << 20


def numbers(type_: Value, width_bytes: int, count: int) -> bytes:
    return gguf([array(b"a", type_, count, np.random.default_rng(0).bytes(count * width_bytes))])


def strings(word: bytes) -> bytes:
    return gguf([array(b"a", STRING, MANY, text(word) * MANY)])


def tensors() -> bytes:
    entries = [tensor(b"%05x" % n, (), type_=Type.I8, offset=8 * n) for n in range(MANY)]
    return gguf([pair(b"general.alignment", U32, u32(8))], entries, data_bytes=8 * MANY)


MANY = 10_000
LARGE: dict[str, Callable[[], bytes]] = {
    "u8": partial(numbers, U8, 1, MANY),
    "i8": partial(numbers, I8, 1, MANY),
    "i16": partial(numbers, Value.INT16, 2, 1_000_000),  # the 65,536 of them that are shared stand out less
    "i32": partial(numbers, Value.INT32, 4, MANY),
    "f32": partial(numbers, F32, 4, MANY),
    "i64": partial(numbers, Value.INT64, 8, MANY),
    "bools": lambda: gguf([array(b"a", BOOL, MANY, bytes(MANY))]),
    "empty strings": partial(strings, b""),
    "two letters": partial(strings, b"ab"),
    "bytes": partial(strings, b"\xff"),
    "emoji": partial(strings, "😀".encode()),
    "wide string": lambda: gguf([pair(b"a", STRING, text(b"a" * MANY + "😀".encode()))]),
    "keys": lambda: gguf([pair(b"%05x" % n, BOOL, b"\1") for n in range(MANY)]),
    "tensors": tensors,
}


@pytest.mark.parametrize("name", LARGE)
def test_memory_is_a_small_multiple_of_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(LARGE[name]())
    assert peak_bytes(path) < 16 * path.stat().st_size + (1 << 16)


def test_a_large_vocabulary_is_read_in_less_than_two_seconds(tmp_path: Path) -> None:
    words = b"".join(text(b"%08d" % n) for n in range(1 << 18))
    merges = b"".join(text(b"%06d %05d" % (n, n % 99_999)) for n in range(280_000))
    scores = numbers(F32, 4, 1 << 18)[24:]
    path = tmp_path / "model.gguf"
    path.write_bytes(
        gguf([array(b"tokens", STRING, 1 << 18, words), array(b"merges", STRING, 280_000, merges), scores])
    )
    begin_seconds = time.process_time()
    header = read_header(path)
    assert time.process_time() - begin_seconds < 2
    assert [len(value) for value in header.metadata.values() if isinstance(value, list)] == [
        1 << 18,
        280_000,
        1 << 18,
    ]
