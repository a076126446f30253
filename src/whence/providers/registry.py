"""From a name such as `huggingface:org/model` to an adapter, imported on use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from whence.providers.base import Provider
from whence.providers.errors import InputError, MissingExtraError, UnknownProviderError


@dataclass(frozen=True, kw_only=True)
class Entry:
    """`factory`: `module:attribute`. `takes_model`: whether a model's name follows the colon.

    `extra`: what to install, and `packages`: the modules that tell whether it is installed. `listing`:
    `module:attribute` of what lists the models that it holds (see `whence.providers.listing`), where it can.
    """

    factory: str
    about: str
    listing: str | None = None
    takes_model: bool = False
    extra: str | None = None
    packages: tuple[str, ...] = ()


PROVIDERS: dict[str, Entry] = {
    "demo": Entry(
        factory="whence.demo.provider:load",
        about="the bundled model: summarises synthetic discharge records",
        extra="huggingface",
        packages=("torch", "transformers"),
    ),
    "fake": Entry(
        factory="whence.providers.fake:FakeProvider",
        about="no model: known attributions, for tests",
    ),
    "huggingface": Entry(
        factory="whence.providers.huggingface:HuggingFace",
        about="a local model: a hub id or a directory",
        takes_model=True,
        extra="huggingface",
        packages=("torch", "transformers"),
    ),
    "ollama": Entry(
        factory="whence.providers.ollama:Ollama",
        about="a model that an Ollama serves: native attention where its weights are on this machine",
        listing="whence.providers.ollama.listing:listing",
        takes_model=True,
        extra="ollama",
        packages=("ollama", "httpx", "gguf", "psutil"),
    ),
    "claude": Entry(
        factory="whence.providers.claude:Claude",
        about="a Claude model of Anthropic's API, or with project= on Vertex AI: text and citations",
        takes_model=True,
        extra="claude",
        packages=("anthropic",),
    ),
    "vertex": Entry(
        factory="whence.providers.vertex:Vertex",
        about="Gemini on Google's Vertex AI: a model's name",
        takes_model=True,
        extra="vertex",
        packages=("vertexai",),  # of google-cloud-aiplatform, whose other packages share the name google
    ),
}


def resolve(name: str, **options: Any) -> Provider:
    """The provider of that name: `demo`, `huggingface:org/model`. `options` go to the adapter.

    Raises UnknownProviderError, MissingExtraError, InputError.
    """
    provider, colon, model = name.partition(":")
    entry = PROVIDERS.get(provider)
    if entry is None:
        raise UnknownProviderError(
            "provider", provider, PROVIDERS, "A local model is written huggingface:path/or/hub-id"
        )
    if entry.takes_model and not model:
        raise InputError(f"{provider} needs the name of a model: {provider}:NAME")
    if colon and not entry.takes_model:
        raise InputError(f"{provider} has one model only: write {provider!r}, not {name!r}")
    made: Provider = load_attribute(entry)(*([model] if entry.takes_model else []), **options)
    return made


def load_attribute(entry: Entry, path: str | None = None) -> Any:
    """Import the adapter, or what else is at `path`. Raises MissingExtraError for a missing package."""
    module, _, attribute = (path or entry.factory).partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if entry.extra is None or missing == "whence":
            raise
        raise MissingExtraError(entry.extra, missing) from error


def installed(entry: Entry) -> bool:
    """Whether the packages that an adapter needs are here; imports none of them."""
    return all(find_spec(package) is not None for package in entry.packages)
