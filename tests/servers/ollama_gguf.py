"""The GGUF files of the store: the bundled model, and headers without weights."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFValueType, GGUFWriter
from tests.gguf.export import Quantization, export
from tests.servers.answers import CONTEXT_TOKENS
from transformers import AutoModelForCausalLM, AutoTokenizer


@cache
def gguf_file(quantization: Quantization, context_tokens: int = CONTEXT_TOKENS) -> Path:
    """The bundled model as a GGUF file, written once in this process.

    `context_tokens`: what its metadata says that it can read.
    """
    source = str(files("whence.demo") / "model")
    model = AutoModelForCausalLM.from_pretrained(source, dtype="float32")
    return export(
        model,
        AutoTokenizer.from_pretrained(source),
        _written() / f"{quantization}-{context_tokens}.gguf",
        quantization=quantization,
        metadata={"llama.context_length": context_tokens},
    )


@cache
def _written() -> Path:
    directory = tempfile.mkdtemp(prefix="whence-gguf-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


@cache
def header_only(architecture: str, **values: int | bool | str) -> Path:
    """A GGUF file without weights."""
    path = _written() / f"{architecture}.gguf"
    writer = GGUFWriter(path, architecture)
    for key, value in values.items():
        writer.add_key_value(f"{architecture}.{key}", value, GGUFValueType.get_type(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def metadata_of(path: Path) -> dict[str, Any]:
    """A GGUF file's, without its name and its template; long arrays are empty."""
    return dict(_metadata(path, path.stat().st_mtime_ns))


@cache
def _metadata(path: Path, _changed: int) -> Mapping[str, Any]:
    reader = GGUFReader(path)
    told = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    told["general.parameter_count"] = sum(int(tensor.n_elements) for tensor in reader.tensors)
    hidden = ("general.name", "tokenizer.chat_template")
    return {
        name: [] if isinstance(value, list) and len(value) > 5 else value
        for name, value in told.items()
        if name not in hidden
    }
