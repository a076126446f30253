"""Damaged and forged headers: each is refused in words, or is sound and means what gguf-py says it means."""

from __future__ import annotations

import io
import itertools
import math
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import gguf as gguf_py
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.ollama.gguf.forging import whole

from whence.providers.errors import ModelLoadError
from whence.providers.ollama.gguf.header import Header, read_header

SOUND = whole()
HEADER_BYTES = min(tensor.offset_bytes for tensor in read_header(io.BytesIO(SOUND)).tensors)
EXTREMES = (0, 1, 2, 9, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1)


@pytest.fixture(autouse=True, scope="module")
def _traced() -> Iterator[None]:
    """Memory is counted from here on: to start anew for each file would take longer than to read it."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def judge(raw: bytes) -> Header | None:
    """The header, checked; or none where it was refused, in words and in bounded memory."""
    header, said = None, "pull"
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    try:
        header = read_header(io.BytesIO(raw))
    except ModelLoadError as error:
        said = str(error)
    assert tracemalloc.get_traced_memory()[1] - before < 16 * len(raw) + (1 << 16)
    assert "pull" in said or "convert" in said
    assert len(said) < 600
    if header is not None:
        assert_apart(header, raw)
    return header


def judge_with_gguf_py(raw: bytes) -> None:
    """As `judge`; and what is not refused means what gguf-py says it means."""
    header = judge(raw)
    if header is not None:
        assert_same(header, raw)


def assert_apart(header: Header, raw: bytes) -> None:
    """Each tensor is in the file, and in no other."""
    places = sorted((tensor.offset_bytes, tensor.size_bytes) for tensor in header.tensors)
    assert all(begin + size <= after for (begin, size), (after, _) in itertools.pairwise(places))
    assert all(size > 0 and begin + size <= len(raw) for begin, size in places)


def assert_same(header: Header, raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.gguf"
        path.write_bytes(raw)
        their = gguf_py.GGUFReader(path)
        assert list(header.metadata) == list(their.fields)[3:]
        for key, value in header.metadata.items():
            field = their.fields[key]
            if isinstance(value, list) and value and isinstance(value[0], str):
                ours = [str(text).encode(errors="surrogateescape") for text in value]
                assert ours == [field.parts[at].tobytes() for at in field.data]
            else:
                assert repr(value) == repr(field.contents())
        assert [(t.name, t.shape, t.type, t.offset_bytes, t.size_bytes) for t in header.tensors] == [
            (t.name, tuple(t.shape.tolist()), t.tensor_type.name, t.data_offset, t.n_bytes)
            for t in their.tensors
        ]
        assert [tensor.elements for tensor in header.tensors] == [
            math.prod(tensor.shape.tolist()) for tensor in their.tensors
        ]


def overwritten(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def test_the_file_that_is_damaged_here_is_sound() -> None:
    assert judge(SOUND) is not None
    judge_with_gguf_py(SOUND)


@given(st.binary(max_size=400), st.sampled_from([b"", b"GGUF", b"GGUF\3\0\0\0", b"GGUF\2\0\0\0" + bytes(8)]))
def test_random_bytes(rest: bytes, start: bytes) -> None:
    judge_with_gguf_py(start + rest)


@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bits(flips: list[tuple[int, int]]) -> None:
    raw = bytearray(SOUND)
    for at, bits in flips:
        raw[at] ^= bits
    judge_with_gguf_py(bytes(raw))


@given(
    st.lists(st.tuples(st.integers(0, HEADER_BYTES - 1), st.sampled_from(EXTREMES)), min_size=1, max_size=4)
)
def test_extreme_numbers_in_several_places(changes: list[tuple[int, int]]) -> None:
    raw = SOUND
    for at, number in changes:
        raw = overwritten(raw, at, number.to_bytes(8, "little"))
    judge_with_gguf_py(raw)


@given(st.integers(0, HEADER_BYTES), st.integers(0, HEADER_BYTES), st.integers(0, HEADER_BYTES))
def test_parts_that_are_missing_or_there_twice(begin: int, end: int, at: int) -> None:
    judge_with_gguf_py(SOUND[:at] + SOUND[begin:end] + SOUND[at:])
    judge_with_gguf_py(SOUND[:begin] + SOUND[end:])


def test_a_file_cut_at_any_length_is_refused() -> None:
    for size in range(len(SOUND)):
        assert judge(SOUND[:size]) is None, size


@pytest.mark.parametrize("number", [0, 2**31, 2**60, 2**64 - 1])
def test_every_field_replaced_by_an_extreme_number(number: int) -> None:
    for at in range(HEADER_BYTES):
        judge(overwritten(SOUND, at, number.to_bytes(8, "little")))
