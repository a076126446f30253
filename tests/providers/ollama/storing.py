"""A small store, and what is in it."""

from __future__ import annotations

from pathlib import Path

from tests.servers.ollama_store import Store, Stored

from whence.providers.ollama.place import name_of
from whence.providers.ollama.store import Blob, find

WEIGHTS = b"GGUF and then the weights"
OTHER = b"GGUF and other weights.."
GGUF = {"model_format": "gguf"}


def small(root: Path) -> Store:
    """A store with one model, 'tiny'."""
    store = Store(root)
    store.add("tiny", GGUF, {"model": WEIGHTS, "template": b"{{ .Prompt }}", "params": b"{}"})
    return store


def stored(store: Store, name: str = "tiny") -> Stored:
    found = store.find(name)
    assert found is not None
    return found


def weights(store: Store, name: str = "tiny") -> Path:
    (path,) = stored(store, name).layers("model")
    return path


def found(store: Store, name: str = "tiny") -> Blob:
    """As the adapter finds it: by the digest that the server names."""
    return find(name_of(name), stored(store, name).digest, [store.root])
