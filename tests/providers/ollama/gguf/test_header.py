"""A GGUF file's header is read as gguf-py wrote it, or refused with the place of what is wrong."""

from __future__ import annotations

import io
import math
import os
import pickle
from pathlib import Path

import gguf as gguf_py
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value
from gguf import GGUFWriter
from tests.providers.ollama.gguf.forging import (
    ARRAY,
    BOOL,
    STRING,
    U8,
    U32,
    array,
    gguf,
    pair,
    tensor,
    text,
    u32,
    u64,
    whole,
)

from whence.providers.errors import ModelLoadError
from whence.providers.ollama.gguf.header import Header, TensorInfo, read_header

VALUES: dict[str, tuple[object, Value, Value | None]] = {
    "u8": (255, Value.UINT8, None),
    "i8": (-128, Value.INT8, None),
    "u16": (65_535, Value.UINT16, None),
    "i16": (-32_768, Value.INT16, None),
    "u32": (2**32 - 1, Value.UINT32, None),
    "i32": (-(2**31), Value.INT32, None),
    "f32": (0.5, Value.FLOAT32, None),
    "bool": (True, Value.BOOL, None),
    "string": ("naïve 😀\x00", Value.STRING, None),
    "empty string": ("", Value.STRING, None),
    "u64": (2**64 - 1, Value.UINT64, None),
    "i64": (-(2**63), Value.INT64, None),
    "f64": (0.1, Value.FLOAT64, None),
    "infinite": (-math.inf, Value.FLOAT32, None),
    "u8s": ([0, 255], Value.ARRAY, Value.UINT8),
    "i8s": ([-128, -100, 127], Value.ARRAY, Value.INT8),
    "u16s": ([0, 65_535], Value.ARRAY, Value.UINT16),
    "i16s": ([-32_768, 300, 300], Value.ARRAY, Value.INT16),
    "u32s": ([2**32 - 1], Value.ARRAY, Value.UINT32),
    "i32s": ([-1, 1], Value.ARRAY, Value.INT32),
    "f32s": ([0.5, -1.25], Value.ARRAY, Value.FLOAT32),
    "bools": ([True, False, True], Value.ARRAY, Value.BOOL),
    "strings": (["", "Ġthe", "▁a b", "😀"], Value.ARRAY, Value.STRING),
    "u64s": ([2**64 - 1], Value.ARRAY, Value.UINT64),
    "i64s": ([-(2**63)], Value.ARRAY, Value.INT64),
    "f64s": ([0.1, math.inf], Value.ARRAY, Value.FLOAT64),
}
TENSORS: dict[str, tuple[tuple[int, ...], Type]] = {
    "a.weight": ((3, 5), Type.F32),
    "b.weight": ((7,), Type.F16),
    "c.weight": ((2, 64), Type.Q8_0),
    "d.weight": ((2, 3, 256), Type.Q4_K),
    "e" * 63: ((2, 2, 2, 2), Type.I8),
    "ü.weight": ((1, 9), Type.BF16),
}


def written(path: Path, *, alignment_bytes: int | None = None) -> Path:
    """A file with a value of every type and tensors of several, by gguf-py."""
    writer = GGUFWriter(path, "llama")
    if alignment_bytes is not None:
        writer.add_custom_alignment(alignment_bytes)
    for key, (value, kind, inner) in VALUES.items():
        writer.add_key_value(key, value, kind, inner)
    for name, (shape, type_) in TENSORS.items():
        block_elements, block_bytes = gguf_py.GGML_QUANT_SIZES[type_]
        width_bytes = shape[-1] // block_elements * block_bytes
        content = np.arange(math.prod(shape[:-1]) * width_bytes, dtype=np.uint8)
        writer.add_tensor(name, content.reshape(*shape[:-1], width_bytes), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def read(raw: bytes) -> Header:
    return read_header(io.BytesIO(raw))


@pytest.mark.parametrize("alignment_bytes", [None, 8, 256])
def test_it_reads_what_gguf_py_writes_and_as_gguf_py_reads_it(
    tmp_path: Path, alignment_bytes: int | None
) -> None:
    path = written(tmp_path / "sha256-0", alignment_bytes=alignment_bytes)
    header = read_header(path)
    assert header.version == 3
    assert header.architecture == "llama"
    for key, (value, _, _) in VALUES.items():
        assert header.metadata[key] == value
        assert type(header.metadata[key]) is type(value)
    their = gguf_py.GGUFReader(path)
    assert list(header.metadata) == [key for key in their.fields if not key.startswith("GGUF.")]
    assert [repr(value) for value in header.metadata.values()] == [
        repr(their.fields[key].contents()) for key in header.metadata
    ]
    assert header.tensors == tuple(
        TensorInfo(
            name=tensor.name,
            shape=tuple(tensor.shape.tolist()),
            type=tensor.tensor_type.name,
            offset_bytes=int(tensor.data_offset),
            size_bytes=int(tensor.n_bytes),
        )
        for tensor in their.tensors
    )
    assert [tensor.elements for tensor in header.tensors] == [
        math.prod(shape) for shape, _ in TENSORS.values()
    ]
    raw = path.read_bytes()
    for ours, theirs in zip(header.tensors, their.tensors, strict=True):
        assert raw[ours.offset_bytes :][: ours.size_bytes] == theirs.data.tobytes()


def test_an_open_file_is_read_from_its_start_and_left_open(tmp_path: Path) -> None:
    path = written(tmp_path / "model.gguf")
    for buffering in (-1, 0):
        with path.open("rb", buffering=buffering) as file:
            file.seek(100)
            assert read_header(file) == read_header(path)
            assert not file.closed


def test_a_header_outlives_a_trip_between_processes() -> None:
    assert pickle.loads(pickle.dumps(read(whole()))) == read(whole())  # noqa: S301


def test_version_2_is_read_as_version_3_is() -> None:
    assert read(gguf([pair(b"a", U32, u32(7))], version=2)).metadata == {"a": 7}


def test_tokens_that_are_not_utf_8_keep_their_bytes() -> None:
    words = (b"\xff", b"ab\xc3", "é".encode())
    tokens = read(gguf([array(b"tokens", STRING, 3, b"".join(map(text, words)))])).metadata["tokens"]
    assert isinstance(tokens, list)
    assert tuple(str(token).encode(errors="surrogateescape") for token in tokens) == words


def test_the_quantization_is_the_type_of_most_bytes() -> None:
    small = [tensor(b"%d" % n, (8,), offset=32 * n) for n in range(3)]
    large = tensor(b"large", (256, 2), type_=Type.Q4_K, offset=96)
    assert read(gguf([], [*small, large], data_bytes=96 + 288)).quantization == "Q4_K"
    assert read(gguf([], small, data_bytes=96)).quantization == "F32"


def test_a_file_without_weights_or_architecture_says_so() -> None:
    empty = read(gguf())
    with pytest.raises(ModelLoadError, match="no weights"):
        _ = empty.quantization
    for pairs in ([], [pair(b"general.architecture", U32, u32(7))]):
        with pytest.raises(ModelLoadError, match="architecture"):
            _ = read(gguf(pairs)).architecture


def test_tensors_may_be_scalars_in_any_order_and_with_gaps() -> None:
    tensors = [tensor(b"b", (8,), offset=96), tensor(b"a", (), offset=0)]
    header = read(gguf([], tensors, data_bytes=128))
    assert [(tensor.name, tensor.offset_bytes, tensor.elements) for tensor in header.tensors] == [
        ("b", 96 + 96, 8),
        ("a", 96, 1),
    ]


ONE = pair(b"a", U32, u32(1))
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "begins with b'', so it is no GGUF file"),
    "short magic": (b"GGU", "no GGUF file"),
    "other magic": (b"GGML" + bytes(64), "no GGUF file"),
    "no version": (b"GGUF\x03", "the version takes 4 bytes and 1 are left"),
    "version 0": (gguf(version=0), "is GGUF version 0"),
    "version 1": (gguf(version=1), "is GGUF version 1, and 2 and 3 are read"),
    "version 4": (gguf(version=4), "is GGUF version 4"),
    "big-endian": (gguf(version=3 << 24), "big-endian"),
    "big-endian 2": (gguf(version=2 << 24), "big-endian"),
    "2**60 keys": (gguf([ONE], pair_count=2**60), "byte 24: the header, with 1152921504606846976 keys"),
    "2**64-1 tensors": (gguf([ONE], tensor_count=2**64 - 1), "18446744073709551615 tensors"),
    "one key more": (gguf([ONE], [tensor()], data_bytes=32, pair_count=2), "byte"),
    "long key": (gguf([pair(b"k" * 65_536, BOOL, b"\1")]), "a key has 65536 bytes, and 65535 are allowed"),
    "key of 2**60": (gguf([text(b"", 2**60) + bytes(64)]), "a key has 1152921504606846976 bytes"),
    "key past the end": (gguf([text(b"a", 99) + bytes(9)]), "byte 32: a key takes 99 bytes and 10 are left"),
    "empty key": (gguf([pair(b"", U32, u32(1))]), "byte 24: the key '' is empty"),
    "key twice": (gguf([ONE, ONE]), "byte 41: the key 'a' is empty, or there twice"),
    "long key twice": (gguf([pair(b"k" * 999, BOOL, b"\1")] * 2), "the key 'k{80}[.]{3}' is"),
    "key not UTF-8": (gguf([pair(b"ab\xff", U32, u32(1))]), "byte 34: a key is not UTF-8"),
    "string not UTF-8": (gguf([pair(b"a", STRING, text(b"b\xff"))]), "byte 46: the value of 'a' is not"),
    "surrogate in UTF-8": (gguf([pair(b"a", STRING, text(b"\xed\xa0\x80"))]), "not UTF-8"),
    "string of 2**60": (gguf([pair(b"a", STRING, text(b"b", 2**60))]), "byte 37: the value of 'a' has 1152"),
    "string past the end": (gguf([pair(b"a", STRING, text(b"b", 99))]), "byte 45: .* takes 99 bytes and 1"),
    "unknown type": (gguf([pair(b"a", 13, u64(1))]), "byte 33: .* type 13, which GGUF does not have"),
    "bool of 2": (gguf([pair(b"a", BOOL, b"\2")]), "byte 37: .* a bool that is neither 0 nor 1"),
    "bools of 2": (gguf([array(b"a", BOOL, 3, b"\0\1\xff")]), "neither 0 nor 1"),
    "2**60 bools": (
        gguf([array(b"a", BOOL, 2**60, b"\0")]),
        "takes 1152921504606846976 bytes and 1 are left",
    ),
    "2**62 numbers": (gguf([array(b"a", U32, 2**62, b"\0")]), "takes 18446744073709551616 bytes and 1 are"),
    "2**60 strings": (gguf([array(b"a", STRING, 2**60, u64(0))]), "takes 9223372036854775808 bytes and 8"),
    "strings one short": (gguf([array(b"a", STRING, 2, text(b"aaaaaaaa"))]), "byte 65: .* takes 8 bytes"),
    "long string in array": (gguf([array(b"a", STRING, 1, text(b"b", 2**60))]), "byte 57: .* and 1 are left"),
    "nested": (gguf([array(b"a", ARRAY, 1, u32(U8) + u64(1) + b"\0")]), "byte 37: .* an array of arrays"),
    "nested deep": (gguf([array(b"a", ARRAY, 1, (u32(ARRAY) + u64(1)) * 9_999)]), "an array of arrays"),
    "unknown entries": (gguf([array(b"a", 99, 1, b"\0")]), "has entries of type 99"),
    "alignment of u64": (gguf([pair(b"general.alignment", Value.UINT64, u64(32))]), "type 10, not UINT32"),
    "alignment of text": (gguf([pair(b"general.alignment", STRING, text(b"32"))]), "type 8, not UINT32"),
    **{
        f"alignment of {size}": (
            gguf([pair(b"general.alignment", U32, u32(size))]),
            "not a power of two from 8",
        )
        for size in (0, 1, 4, 24, 2**32 - 1)
    },
    "name of 65": (gguf([], [tensor(b"n" * 65)], data_bytes=32), "has 65 bytes, and 64 are allowed"),
    "no name": (gguf([], [tensor(b"")], data_bytes=32), "byte 24: the name of a tensor, '', is empty"),
    "name not UTF-8": (gguf([], [tensor(b"\xff")], data_bytes=32), "name of a tensor is not UTF-8"),
    "name twice": (gguf([], [tensor(), tensor(offset=32)], data_bytes=64), "'a', is empty, or there twice"),
    "5 dimensions": (gguf([], [tensor(shape=(1,) * 5)], data_bytes=32), "byte 33: .* has 5 dimensions"),
    "2**32-1 dimensions": (gguf([], [tensor(dimensions=2**32 - 1)], data_bytes=32), "4294967295 dimensions"),
    "dimension of 0": (gguf([], [tensor(shape=(8, 0))], data_bytes=32), "has a dimension of 0"),
    "2**64 elements": (
        gguf([], [tensor(shape=(2**32, 2**32))], data_bytes=32),
        "ends at byte 73786976294838",
    ),
    "2**256 elements": (gguf([], [tensor(shape=(2**64 - 1,) * 4)], data_bytes=32), "and the file at 128"),
    **{
        f"type {type_}": (
            gguf([], [tensor(type_=type_)], data_bytes=32),
            f"type {type_} at byte 45, .* quantiza",
        )
        for type_ in (4, 5, 31, 36, 999, 2**32 - 1)
    },
    "half a block": (
        gguf([], [tensor(shape=(48, 2), type_=Type.Q8_0)], data_bytes=102),
        "rows of 48 elements",
    ),
    "no block": (gguf([], [tensor(shape=(), type_=Type.Q4_K)], data_bytes=144), "rows of 1 elements"),
    "odd offset": (gguf([], [tensor(offset=16)], data_bytes=64), "byte 49: .* offset 16, no multiple of 32"),
    "offset of 2**63": (gguf([], [tensor(offset=2**63)], data_bytes=64), "ends at byte 9223372036854775904"),
    "data one short": (
        gguf([], [tensor()], data_bytes=31),
        "byte 64: .* ends at byte 96, and the file at 95",
    ),
    "no padding": (gguf([], [tensor()], alignment_bytes=1), "ends at byte 96, and the file at 57"),
    "overlap": (gguf([], [tensor(shape=(9,)), tensor(b"b", offset=32)], data_bytes=64), "'b' begins within"),
    "same place": (gguf([], [tensor(), tensor(b"b")], data_bytes=64), "'b' begins within another"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    raw, said = REFUSED[name]
    with pytest.raises(ModelLoadError, match=said) as caught:
        read(raw)
    message = str(caught.value)
    assert "pull" in message or "convert" in message
    assert "\n" not in message
    assert len(message) < 400


def test_the_error_names_the_file_that_was_given_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "sha256-0"
    path.write_bytes(whole()[:40])
    with pytest.raises(ModelLoadError, match="sha256-0 is damaged at byte"):
        read_header(path)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, tmp_path / "missing", pipe):
        with pytest.raises(ModelLoadError, match="is not a file"):
            read_header(path)
    with pytest.raises(ModelLoadError, match="cannot be opened"):
        read_header(tmp_path / ("n" * 5_000))


def test_a_stream_that_cannot_be_sought_is_refused() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, pytest.raises(ModelLoadError, match="cannot be read after byte 0"):
        read_header(pipe)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    class Shrinking(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            os.truncate(path, 100)
            return super().read(size) or b""

    path = tmp_path / "model.gguf"
    path.write_bytes(whole())
    with Shrinking(path) as file, pytest.raises(ModelLoadError, match=r"became shorter .* byte 100 now"):
        read_header(file)


def test_a_disk_that_goes_away_is_told(tmp_path: Path) -> None:
    class Leaving(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            with Path(os.devnull).open("wb") as other:
                os.dup2(other.fileno(), self.fileno())
            return super().read(size) or b""

    path = tmp_path / "model.gguf"
    path.write_bytes(whole())
    with Leaving(path) as file, pytest.raises(ModelLoadError, match=r"\(Bad file descriptor\)") as caught:
        read_header(file)
    assert isinstance(caught.value.__cause__, OSError)
