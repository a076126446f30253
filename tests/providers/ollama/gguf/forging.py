"""GGUF files made by hand, byte by byte, so that each field can be what no writer would make it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from gguf import GGMLQuantizationType, GGUFValueType

U8, I8, BOOL, STRING = GGUFValueType.UINT8, GGUFValueType.INT8, GGUFValueType.BOOL, GGUFValueType.STRING
U32, F32, ARRAY = GGUFValueType.UINT32, GGUFValueType.FLOAT32, GGUFValueType.ARRAY


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def u64(number: int) -> bytes:
    return struct.pack("<Q", number)


def text(content: bytes, size_bytes: int | None = None) -> bytes:
    return u64(len(content) if size_bytes is None else size_bytes) + content


def pair(key: bytes, type_: int, value: bytes) -> bytes:
    return text(key) + u32(type_) + value


def array(key: bytes, type_: int, count: int, entries: bytes) -> bytes:
    return pair(key, ARRAY, u32(type_) + u64(count) + entries)


def tensor(
    name: bytes = b"a",
    shape: Sequence[int] = (8,),
    *,
    type_: int = GGMLQuantizationType.F32,
    offset: int = 0,
    dimensions: int | None = None,
) -> bytes:
    sizes = b"".join(map(u64, shape))
    return (
        text(name) + u32(len(shape) if dimensions is None else dimensions) + sizes + u32(type_) + u64(offset)
    )


def gguf(
    pairs: Iterable[bytes] = (),
    tensors: Iterable[bytes] = (),
    *,
    data_bytes: int = 0,
    alignment_bytes: int = 32,
    version: int = 3,
    pair_count: int | None = None,
    tensor_count: int | None = None,
) -> bytes:
    pairs, tensors = list(pairs), list(tensors)
    counts = u64(len(tensors) if tensor_count is None else tensor_count)
    counts += u64(len(pairs) if pair_count is None else pair_count)
    header = b"GGUF" + u32(version) + counts + b"".join(pairs) + b"".join(tensors)
    return header + bytes(-len(header) % alignment_bytes + data_bytes) if tensors else header


def whole() -> bytes:
    """A sound file of some 900 bytes with a value of every type, and arrays of them, and three tensors."""
    numbers = {
        GGUFValueType.UINT8: struct.pack("<B", 200),
        GGUFValueType.INT8: struct.pack("<b", -100),
        GGUFValueType.UINT16: struct.pack("<H", 60_000),
        GGUFValueType.INT16: struct.pack("<h", -30_000),
        GGUFValueType.UINT32: struct.pack("<I", 4_000_000_000),
        GGUFValueType.INT32: struct.pack("<i", -2_000_000_000),
        GGUFValueType.FLOAT32: struct.pack("<f", 1e-5),
        GGUFValueType.BOOL: b"\x01",
        GGUFValueType.UINT64: struct.pack("<Q", 2**64 - 1),
        GGUFValueType.INT64: struct.pack("<q", -(2**63)),
        GGUFValueType.FLOAT64: struct.pack("<d", 0.1),
    }
    pairs = [pair(b"general.architecture", STRING, text(b"llama")), pair(b"general.alignment", U32, u32(32))]
    pairs += [pair(b"one.%d" % type_, type_, value) for type_, value in numbers.items()]
    pairs += [array(b"some.%d" % type_, type_, 2, value * 2) for type_, value in numbers.items()]
    words = (b"", b"a", "é".encode(), b"\xff\xfe", "😀".encode())
    pairs += [array(b"tokens", STRING, len(words), b"".join(map(text, words)))]
    tensors = [
        tensor(b"token_embd.weight", (32, 4), type_=GGMLQuantizationType.Q8_0, offset=64),
        tensor(b"output_norm.weight", (8,), offset=0),
        tensor(b"blk.0.weight", (2, 2, 2), type_=GGMLQuantizationType.F16, offset=32),
    ]
    return gguf(pairs, tensors, data_bytes=64 + 136)
