"""The keys of a GGUF file that describe one architecture: each is read typed and bounded, or refused."""

from __future__ import annotations

import math
from collections.abc import Iterable

from whence.providers.errors import ModelLoadError, UnsupportedError
from whence.providers.ollama.gguf.header import Header, Scalar

MOST = (1 << 31) - 1
NAMED = 5
"""How many keys or tensors an error names."""


class Keys:
    """The keys of the file's own architecture, without its name in front; notes which were read."""

    def __init__(self, header: Header) -> None:
        self._metadata = header.metadata
        self._prefix = f"{header.architecture}."
        self._read: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether the file has the key. It is not read by this."""
        return self._prefix + name in self._metadata

    def integer(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number from `least` on; without a default it has to be there. Raises ModelLoadError."""
        value = self._value(name, default)
        if isinstance(value, list):
            if len(set(value)) != 1:  # as many as layers, all the same, are one
                raise unsupported(f"{self._prefix}{name} differs from layer to layer")
            value = value[0]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST:
            raise damaged(f"{self._prefix}{name} is {value!r}, not a whole number from {least} on")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number above 0. Raises ModelLoadError."""
        value = self._value(name, default)
        if not isinstance(value, float) or not math.isfinite(value) or value <= 0:
            raise damaged(f"{self._prefix}{name} is {value!r}, not a number above 0")
        return value

    def text(self, name: str, default: str) -> str:
        """A text. Raises ModelLoadError."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise damaged(f"{self._prefix}{name} is {value!r}, not a text")
        return value

    def only(self, name: str, *handled: Scalar) -> None:
        """A key that asks for nothing where it has one of these values. Raises UnsupportedError otherwise."""
        if self.has(name) and (value := self._value(name, None)) not in handled:
            raise unsupported(f"{self._prefix}{name} = {value!r} is not handled")

    def ignore(self, *names: str) -> None:
        """Keys that llama.cpp does not compute with in this architecture."""
        self._read |= {self._prefix + name for name in names}

    def unread(self) -> list[str]:
        """The keys of this architecture that nobody asked for, whole, in the order of the file."""
        return [key for key in self._metadata if key.startswith(self._prefix) and key not in self._read]

    def _value(self, name: str, default: Scalar | None) -> Scalar | list[Scalar]:
        key = self._prefix + name
        self._read.add(key)
        value = self._metadata.get(key, default)
        if value is None:
            raise damaged(f"{key} is missing")
        return value


def unsupported(why: str) -> UnsupportedError:
    """An error for what is known, and not handled."""
    return UnsupportedError(
        f"this GGUF file has no native attention here, because {why}: ask its Ollama for log-probabilities, "
        "or choose another model"
    )


def damaged(why: str) -> ModelLoadError:
    """An error for what no whole file says."""
    return ModelLoadError(
        f"the GGUF file is damaged, or was made by a wrong program: {why}. Pull the model again"
    )


def listed(names: Iterable[str]) -> str:
    """The first few of the names, and how many there are."""
    all_names = list(names)
    more = len(all_names) - NAMED
    return ", ".join(all_names[:NAMED]) + (f" and {more} more" if more > 0 else "")
