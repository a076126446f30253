"""The header of a GGUF file: its metadata, and where its tensors are. No tensor is read.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
The file may be damaged, or made by somebody who means harm: each length in it is held against the bytes that
are left before anything is made of it, so the memory taken is a small multiple of the file's size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from whence.providers.errors import ModelLoadError
from whence.providers.ollama.gguf.cursor import MOST_HEADER_BYTES, NUMBERS, Cursor

Scalar = int | float | bool | str
Metadata = Mapping[str, Scalar | list[Scalar]]

MOST_KEY_BYTES = 65_535
MOST_NAME_BYTES = 64
MOST_DIMENSIONS = 4
DEFAULT_ALIGNMENT_BYTES = 32
ALIGNMENT = "general.alignment"
VERSIONS = (2, 3)

_PAIR_BYTES = 8 + 1 + 4 + 1
"""The least that a key and its value take: a key of one byte, the value's type, a value of one byte."""
_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8
"""The least that a tensor's entry takes: a name of one byte, no dimension, type, offset."""
_QUOTED_CHARACTERS = 80
_TENSOR_TYPES: dict[int, GGMLQuantizationType] = {int(type_): type_ for type_ in GGML_QUANT_SIZES}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One tensor. `shape`: in the order of GGUF, the fastest dimension first.

    `type`: ggml's name, such as F32 or Q4_K. `offset_bytes`: from the start of the file.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset_bytes: int
    size_bytes: int

    @property
    def elements(self) -> int:
        """The product of the shape."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a GGUF file says of itself. `metadata` and `tensors` are in the order of the file.

    Single strings of the metadata are valid UTF-8. Strings in arrays may not be, because tokens are bytes:
    such bytes stand as lone surrogates, and `text.encode(errors="surrogateescape")` gives them back. Floats
    may be NaN or infinite.
    """

    version: int
    metadata: Metadata
    tensors: tuple[TensorInfo, ...]

    @property
    def architecture(self) -> str:
        """The value of `general.architecture`. Raises ModelLoadError where there is none."""
        match self.metadata.get("general.architecture"):
            case str(name) if name:
                return name
        raise ModelLoadError("the GGUF file does not say its architecture: pull the model again")

    @property
    def quantization(self) -> str:
        """The type that most bytes of the weights have. Raises ModelLoadError where there are no weights."""
        sizes_bytes = Counter[str]()
        for tensor in self.tensors:
            sizes_bytes[tensor.type] += tensor.size_bytes
        if not sizes_bytes:
            raise ModelLoadError("the GGUF file holds no weights: pull the model again")
        return max(sizes_bytes, key=sizes_bytes.__getitem__)


def read_header(file: BinaryIO | Path) -> Header:
    """Read the header of a GGUF file. An open file is read from its start, and left open.

    Raises ModelLoadError for what cannot be read, is damaged, truncated or forged, or is of another version.
    """
    if not isinstance(file, Path):
        return _header(Cursor(file, "the GGUF file"))
    try:
        if not file.is_file():  # a named pipe would keep us waiting
            raise ModelLoadError(f"{file} is not a file: pull the model again (ollama pull NAME)")
        opened = file.open("rb")
    except OSError as error:
        raise ModelLoadError(
            f"{file} cannot be opened ({error.strerror}): let this user read it, or pull the model again"
        ) from error
    with opened:
        return _header(Cursor(opened, str(file)))


def _header(cursor: Cursor) -> Header:
    version = _version(cursor)
    tensor_count = cursor.integer(8, "the number of tensors")
    pair_count = cursor.integer(8, "the number of keys")
    least_bytes = pair_count * _PAIR_BYTES + tensor_count * _TENSOR_BYTES
    cursor.room(least_bytes, f"the header, with {pair_count} keys and {tensor_count} tensors,")
    metadata: dict[str, Scalar | list[Scalar]] = {}
    for _ in range(pair_count):
        at = cursor.at
        key = cursor.text("a key", most_bytes=MOST_KEY_BYTES)
        if not key or key in metadata:
            raise cursor.damaged(f"the key {_quoted(key)} is empty, or there twice", at)
        metadata[key] = _value(cursor, key)
    return Header(version=version, metadata=metadata, tensors=_tensors(cursor, tensor_count, metadata))


def _version(cursor: Cursor) -> int:
    """The version of the format, after the four bytes that every GGUF file begins with."""
    begin = bytes(cursor.take(min(4, cursor.size_bytes), "the beginning"))
    if begin != b"GGUF":
        why = (
            f"begins with {begin!r}, so it is no GGUF file: pull the model again, or one that is kept as such"
        )
        raise ModelLoadError(f"{cursor.name} {why}")
    version = cursor.integer(4, "the version")
    if version in VERSIONS:
        return version
    if int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS:
        why = "is big-endian, which is not read: pull the little-endian file, or convert without --bigendian"
        raise ModelLoadError(f"{cursor.name} {why}")
    why = f"is GGUF version {version}, and 2 and 3 are read: convert the model again with a current llama.cpp"
    raise ModelLoadError(f"{cursor.name} {why}")


def _value(cursor: Cursor, key: str) -> Scalar | list[Scalar]:
    what = f"the value of {_quoted(key)}"
    at = cursor.at
    type_ = cursor.integer(4, what)
    if key == ALIGNMENT and type_ != GGUFValueType.UINT32:
        raise cursor.damaged(f"{what} is of type {type_}, not UINT32", at)
    if type_ == GGUFValueType.STRING:
        return cursor.text(what, most_bytes=MOST_HEADER_BYTES)
    if type_ in NUMBERS:
        number: Scalar = cursor.numbers(type_, 1, what)[0]
        return number
    if type_ != GGUFValueType.ARRAY:
        raise cursor.damaged(f"{what} is of type {type_}, which GGUF does not have", at)
    at = cursor.at
    type_ = cursor.integer(4, what)
    count = cursor.integer(8, what)
    if type_ == GGUFValueType.STRING:
        return [*cursor.texts(count, what)]
    if type_ in NUMBERS:
        return cursor.numbers(type_, count, what)
    nested = "is an array of arrays" if type_ == GGUFValueType.ARRAY else f"has entries of type {type_}"
    raise cursor.damaged(f"{what} {nested}, which no model has", at)


def _tensors(cursor: Cursor, count: int, metadata: Metadata) -> tuple[TensorInfo, ...]:
    """The tensors, all of them whole in the file, aligned, and none in another."""
    alignment_bytes = metadata.get(ALIGNMENT, DEFAULT_ALIGNMENT_BYTES)
    if not isinstance(alignment_bytes, int) or alignment_bytes < 8 or alignment_bytes.bit_count() != 1:
        raise cursor.damaged(f"{ALIGNMENT} is {alignment_bytes}, and not a power of two from 8 on")
    found: dict[str, TensorInfo] = {}
    for _ in range(count):
        at = cursor.at
        name = cursor.text("the name of a tensor", most_bytes=MOST_NAME_BYTES)
        if not name or name in found:
            raise cursor.damaged(f"the name of a tensor, {name!r}, is empty, or there twice", at)
        found[name] = _tensor(cursor, name, alignment_bytes)
    begin = end = -(-cursor.at // alignment_bytes) * alignment_bytes
    for tensor in sorted(found.values(), key=lambda tensor: tensor.offset_bytes):
        at = begin + tensor.offset_bytes
        if at < end:
            raise cursor.damaged(f"the tensor {tensor.name!r} begins within another", at)
        if (end := at + tensor.size_bytes) > cursor.size_bytes:
            why = f"the tensor {tensor.name!r} ends at byte {end}, and the file at {cursor.size_bytes}"
            raise cursor.damaged(why, at)
        found[tensor.name] = replace(tensor, offset_bytes=at)
    return tuple(found.values())


def _tensor(cursor: Cursor, name: str, alignment_bytes: int) -> TensorInfo:
    """The next tensor, with its offset as the file has it: from the end of the header."""
    what = f"the tensor {name!r}"
    at = cursor.at
    dimensions = cursor.integer(4, what)
    if dimensions > MOST_DIMENSIONS:
        raise cursor.damaged(f"{what} has {dimensions} dimensions, and {MOST_DIMENSIONS} are allowed", at)
    shape = tuple(cursor.integer(8, what) for _ in range(dimensions))
    if 0 in shape:
        raise cursor.damaged(f"{what} has a dimension of 0", at)
    at = cursor.at
    number = cursor.integer(4, what)
    if (type_ := _TENSOR_TYPES.get(number)) is None:
        why = f"{what} is of type {number} at byte {at}, which ggml does not have, or no longer"
        raise ModelLoadError(f"{cursor.name} cannot be read: {why}; pull the model in another quantization")
    block_elements, block_bytes = GGML_QUANT_SIZES[type_]
    if (row_elements := math.prod(shape[:1])) % block_elements:
        why = (
            f"{what} has rows of {row_elements} elements, no multiple of the {block_elements} of {type_.name}"
        )
        raise cursor.damaged(why, at)
    at = cursor.at
    offset_bytes = cursor.integer(8, what)
    if offset_bytes % alignment_bytes:
        raise cursor.damaged(f"{what} has the offset {offset_bytes}, no multiple of {alignment_bytes}", at)
    # The product is exact, whatever the dimensions; the size of the file bounds it afterwards.
    size_bytes = math.prod(shape) // block_elements * block_bytes
    return TensorInfo(
        name=name, shape=shape, type=type_.name, offset_bytes=offset_bytes, size_bytes=size_bytes
    )


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}...")
