"""The bundled model as a provider."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

from whence.providers.huggingface import HuggingFace

NOTE = "The bundled model has read synthetic records only: what it writes means nothing for a real patient."


def load(**options: Any) -> HuggingFace:
    """The small Llama beside this file; `options` as for `HuggingFace`."""
    with as_file(files("whence.demo") / "model") as directory:
        return HuggingFace(str(directory), model_name="demo", notes=(NOTE,), **options)
