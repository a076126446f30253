"""Ollama's store on disk: manifests and blobs, as its own server writes and reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.gguf.export import Quantization
from tests.servers.answers import CONTEXT_TOKENS
from tests.servers.ollama_gguf import gguf_file, header_only, metadata_of

DEMO = "demo"
QUANTIZED: dict[Quantization, str] = {"Q8_0": "demo:q8_0", "Q4_0": "demo:q4_0"}
FROM_HUGGING_FACE = "hf.co/whence/demo-GGUF:Q8_0"
BRIEFED = "briefed"
SYSTEM = "Answer with what the record says, and nothing else."
THINKING = "thinker"
CLOUD = "gpt-oss:120b-cloud"
ADAPTED = "adapted"
SEEING = "seeing"
SAFETENSORS = "tensors"
EMBEDDING = "embedder"
TOOLED = "tooled"

TEMPLATE = "<|begin|>{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>"
THINKING_TEMPLATE = TEMPLATE.replace(
    "{{ .Content }}", "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}"
)
# What tools there are it does not say: the bundled model would not know what to make of them.
TOOL_TEMPLATE = (
    "<|begin|>{{ if .Tools }}{{ end }}{{ range .Messages }}"
    '<|{{ if eq .Role "tool" }}user{{ else }}{{ .Role }}{{ end }}|>{{ .Content }}'
    "{{ range .ToolCalls }}{{ .Function.Name }}({{ .Function.Arguments }}){{ end }}<|end|>"
    "{{ end }}<|assistant|>"
)
PARAMETERS = {"stop": ["<|end|>"]}
LICENSE = "Apache License, Version 2.0"
HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
LAYER = "application/vnd.ollama.image."
CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

_DEMO_DETAILS = {"model_format": "gguf", "model_family": "llama", "model_families": ["llama"]}


def path_of(name: str) -> Path:
    """Where a model's manifest lies below the store: with the host, namespace and tag that a name leaves out.

    Raises ValueError for what is no name.
    """
    bare, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        bare, tag = name, TAG
    parts = bare.split("/")
    whole = [*[HOST, NAMESPACE][: 3 - len(parts)], *parts, tag]
    named = all(part and part.replace("-", "").replace(".", "").replace("_", "").isalnum() for part in whole)
    if len(whole) != 4 or not named or any(part[0] in "-." for part in whole):
        raise ValueError(f"{name!r} is no name of a model")
    return Path("manifests", *whole)


class Store:
    """A models directory, read anew each time that it is asked: who changes a file changes the answers."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self, name: str, config: Mapping[str, Any], layers: Mapping[str, bytes | Path | list[bytes]]
    ) -> None:
        """Write a manifest with its blobs. `layers`: by the end of their media type."""
        parts = [
            (kind, part)
            for kind, content in layers.items()
            for part in (content if isinstance(content, list) else [content])
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(CONFIG, _json({**config, "architecture": "amd64", "os": "linux"})),
            "layers": [self._blob(LAYER + kind, part) for kind, part in parts],
        }
        path = self.root / path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_json(manifest) + b"\n")

    def _blob(self, media_type: str, content: bytes | Path) -> dict[str, Any]:
        digest = _digest(content) if isinstance(content, Path) else sha256(content).hexdigest()
        path = self.root / "blobs" / f"sha256-{digest}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": path.stat().st_size}

    def models(self) -> Iterator[Stored]:
        """Every model, the last changed first."""
        manifests = [path for path in self.root.glob("manifests/*/*/*/*") if path.is_file()]
        for path in sorted(manifests, key=lambda path: (-int(path.stat().st_mtime), path)):
            yield Stored(self.root, path)

    def find(self, name: str) -> Stored | None:
        """A model by any name that means it, upper case or lower. Raises ValueError for what is no name."""
        wanted = str(self.root / path_of(name)).lower()
        return next((model for model in self.models() if str(model.path).lower() == wanted), None)


@dataclass(frozen=True)
class Stored:
    """A model in the store, as its manifest tells it."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        """The shortest name that means it."""
        host, namespace, model, tag = self.path.parts[-4:]
        front = "" if (host, namespace) == (HOST, NAMESPACE) else f"{namespace}/"
        return f"{front if host == HOST else f'{host}/{namespace}/'}{model}:{tag}"

    @property
    def full_name(self) -> str:
        """With all that `name` leaves out."""
        *front, tag = self.path.parts[-4:]
        return f"{'/'.join(front)}:{tag}"

    @property
    def digest(self) -> str:
        return sha256(self.path.read_bytes()).hexdigest()

    @property
    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(self.path.read_bytes())
        return manifest

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self.blob(self.manifest["config"]["digest"]).read_bytes())
        return config

    @property
    def size_bytes(self) -> int:
        manifest = self.manifest
        return sum(layer["size"] for layer in [*manifest["layers"], manifest["config"]])

    def blob(self, digest: str) -> Path:
        return self.root / "blobs" / digest.replace(":", "-")

    def layers(self, kind: str) -> list[Path]:
        """Absolute paths of the blobs of a kind."""
        named = [layer for layer in self.manifest["layers"] if layer["mediaType"] == LAYER + kind]
        return [self.blob(layer["digest"]) for layer in named]

    def text(self, kind: str) -> str:
        """Of a layer of text, or none."""
        return "\n".join(path.read_text() for path in self.layers(kind))

    @property
    def parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = json.loads(self.text("params") or "{}")
        return parameters

    @property
    def metadata(self) -> dict[str, Any]:
        """What /api/show tells of the GGUF file; nothing where there is none."""
        return metadata_of(self.layers("model")[0]) if self.layers("model") else {}

    @property
    def capabilities(self) -> list[str]:
        """What the model can do, in Ollama's words."""
        found = list(self.config.get("capabilities", ()))
        if self.layers("model"):
            pools = any(key.endswith(".pooling_type") for key in self.metadata)
            found.append("embedding" if pools else "completion")
        if ".Tools" in self.text("template"):
            found.append("tools")
        if self.layers("projector"):
            found.append("vision")
        if "<think>" in self.text("template"):
            found.append("thinking")
        return found


@cache
def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def filled(root: Path, context_tokens: int = CONTEXT_TOKENS) -> Store:
    """A store with the bundled model, and with small entries for what else there is."""
    store = Store(root.resolve())
    whole = gguf_file("F32", context_tokens)
    parts = {"template": TEMPLATE.encode(), "params": _json(PARAMETERS)}
    demo = {**_DEMO_DETAILS, "model_type": "1.02M", "file_type": "F32"}
    store.add(DEMO, demo, {"model": whole, **parts, "license": LICENSE.encode()})
    for quantization, name in QUANTIZED.items():
        path = gguf_file(quantization, context_tokens)
        store.add(name, {**demo, "file_type": quantization}, {"model": path, **parts})
    eighth = {**demo, "file_type": "Q8_0"}
    store.add(FROM_HUGGING_FACE, eighth, {"model": gguf_file("Q8_0", context_tokens), **parts})
    store.add(BRIEFED, demo, {"model": whole, **parts, "system": SYSTEM.encode()})
    store.add(THINKING, demo, {"model": whole, **parts, "template": THINKING_TEMPLATE.encode()})
    store.add(TOOLED, demo, {"model": whole, **parts, "template": TOOL_TEMPLATE.encode()})
    store.add(ADAPTED, demo, {"model": whole, **parts, "adapter": header_only("llama", rank=4)})
    eye = header_only("clip", has_vision_encoder=True)
    store.add(SEEING, demo, {"model": whole, **parts, "projector": eye})
    store.add(
        CLOUD,
        {
            "model_format": "",
            "model_family": "gptoss",
            "model_families": ["gptoss"],
            "model_type": "116.8B",
            "file_type": "MXFP4",
            "remote_host": "https://ollama.com:443",
            "remote_model": "gpt-oss:120b",
            "capabilities": ["completion", "tools", "thinking"],
            "context_length": 131072,
            "embedding_length": 2880,
        },
        {},
    )
    store.add(
        SAFETENSORS,
        {
            "model_format": "safetensors",
            "model_family": "Qwen3ForCausalLM",
            "model_families": None,
            "model_type": "0.6B",
            "file_type": "bf16",
            "capabilities": ["completion"],
        },
        {"tensor": [b"one", b"two"], "json": b'{"architectures":["Qwen3ForCausalLM"]}'},
    )
    pooled = header_only("bert", context_length=512, embedding_length=384, pooling_type=1)
    bert = {"model_format": "gguf", "model_family": "bert", "model_families": ["bert"]}
    store.add(EMBEDDING, {**bert, "model_type": "22.57M", "file_type": "F16"}, {"model": pooled})
    return store
