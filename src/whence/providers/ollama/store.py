"""Ollama's models on disk: from a name, by its manifest, to the file with the weights.

Nothing is believed that the server or a manifest says of a path: a manifest is the server's where its digest
is the one that the server names, and files are read from known folders only, never by a link that leads out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whence.providers.errors import InputError, ModelLoadError, UnsupportedError
from whence.providers.ollama.place import Name

MODELS = "OLLAMA_MODELS"
USUAL = ("~/.ollama/models", "/usr/share/ollama/.ollama/models")
LARGEST_MANIFEST_BYTES = 1 << 20
LARGEST_CONFIG_BYTES = 16 << 20
KIND = "application/vnd.ollama.image."
WEIGHTS = "model"
REFUSED = {
    "adapter": "it has an adapter (LoRA), which is not applied here",
    "projector": "it has a projector for images, which is not read here",
    "tensor": "its weights are safetensors, one file for each tensor, and not GGUF",
    "draft": "it has a second model that drafts, which is not read here",
}
HARMLESS = ("template", "system", "params", "messages", "license", "prompt", "embed")
"""Layers of the prompt and its options, which the server applies itself."""
DIGEST = r"^sha256:[0-9a-f]{64}$"
READ_BYTES = 1 << 20


class Layer(BaseModel):
    """A file among the blobs, and what it is of the model."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    media_type: str = Field(alias="mediaType")
    digest: str = Field(pattern=DIGEST)
    size_bytes: int = Field(alias="size", ge=0)

    @property
    def file(self) -> str:
        """Its name among the blobs."""
        return self.digest.replace(":", "-")

    @property
    def kind(self) -> str:
        """The last word of its media type, where it is one of Ollama's."""
        media_type = self.media_type
        return media_type.removeprefix(KIND) if media_type.startswith(KIND) else f"({media_type})"


class Manifest(BaseModel):
    """What a model is made of."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    config: Layer
    layers: tuple[Layer, ...]


class Config(BaseModel):
    """What the server needs to know of it."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())
    model_format: str = ""
    remote_host: str = ""


@dataclass(frozen=True, kw_only=True)
class Blob:
    """The file with a model's weights. `digest`: sha256:..., as its manifest says, and not yet checked."""

    path: Path
    digest: str
    size_bytes: int


def roots(models_dir: str | Path | None) -> list[Path]:
    """The folders in which an Ollama may keep its models: the one given, or those that are usual."""
    given = models_dir or os.environ.get(MODELS)
    found: list[Path] = []
    for path in [given] if given else USUAL:
        try:
            found.append(Path(path).expanduser())
        except RuntimeError as error:  # a user without a home, as services may be
            if given:
                raise InputError(
                    f"{path} cannot be found: {error}; write the whole path (models_dir=, {MODELS})"
                ) from error
    return found


def find(name: Name, digest: str, folders: list[Path], *, told: str = "") -> Blob:
    """The weights of a model.

    `digest`: of its manifest, in hexadecimal, as the server names it; `told`: where the server says that the
    weights are.

    Raises UnsupportedError where they are not here, or not of a kind that is read, and ModelLoadError where
    the store is damaged or leads out of itself.
    """
    closed: list[Path] = []
    for root in folders:
        for path in _manifests(root, name, closed):
            text = _read(path, root, LARGEST_MANIFEST_BYTES)
            if hashlib.sha256(text).hexdigest() == digest.removeprefix("sha256:"):
                return _weights(root, path, text)
    if closed:
        raise UnsupportedError(
            f"{closed[0]} cannot be read by the user that asks: let its group read it, and join that, which "
            "is ollama as a rule; or name a copy of the store (models_dir=, OLLAMA_MODELS)"
        )
    looked = ", ".join(map(str, folders)) or "any folder"
    raise UnsupportedError(
        f"the files of this model were not found in {looked}; this Ollama keeps them elsewhere"
        f"{told and f' (it says: {told})'}: if that is on this machine, name the folder (models_dir=, "
        "OLLAMA_MODELS)"
    )


def check_digest(blob: Blob) -> None:
    """Read all of a blob. Raises ModelLoadError where it is not what its name says."""
    digest = hashlib.sha256()
    try:
        with blob.path.open("rb") as file:
            while part := file.read(READ_BYTES):
                digest.update(part)
    except OSError as error:
        raise ModelLoadError(f"{blob.path} cannot be read: {error.strerror}") from error
    if f"sha256:{digest.hexdigest()}" != blob.digest:
        raise ModelLoadError(
            f"{blob.path} is not the file that its name says: it is damaged, or was changed; pull the model "
            "again (ollama pull)"
        )


def _manifests(root: Path, name: Name, closed: list[Path]) -> Iterator[Path]:
    """Files whose path is the name, in its own case first: Ollama does not tell 'Demo' from 'demo'.

    `closed`: takes the folders that may not be read.
    """
    folders = [root / "manifests"]
    for part in name.parts:
        deeper: list[Path] = []
        for folder in folders:
            try:
                deeper += [path for path in folder.iterdir() if path.name.lower() == part.lower()]
            except PermissionError:
                closed.append(folder)
            except OSError:  # there is none, or it is no folder
                continue
        folders = sorted(deeper, key=lambda path, part=part: path.name != part)  # type: ignore[misc]
    yield from folders


def _weights(root: Path, path: Path, text: bytes) -> Blob:
    try:
        manifest = Manifest.model_validate_json(text)
        config = Config.model_validate_json(_read(_blob(root, manifest.config), root, LARGEST_CONFIG_BYTES))
    except ValidationError as error:
        raise ModelLoadError(
            f"{path} is no manifest of Ollama's ({error.errors(include_input=False)[0]['msg']}); pull the "
            "model again (ollama pull)"
        ) from None
    if config.remote_host:
        raise UnsupportedError("it runs in Ollama's cloud, and its weights are not here")
    kinds = [layer.kind for layer in manifest.layers]
    for kind in kinds:
        if kind in REFUSED:
            raise UnsupportedError(REFUSED[kind])
        if kind != WEIGHTS and kind not in HARMLESS:
            raise UnsupportedError(f"it has a layer of a kind that is not known here: {kind!r}")
    if kinds.count(WEIGHTS) != 1 or config.model_format not in ("", "gguf"):
        raise UnsupportedError("its weights are not one GGUF file")
    layer = manifest.layers[kinds.index(WEIGHTS)]
    return Blob(path=_blob(root, layer), digest=layer.digest, size_bytes=layer.size_bytes)


def _blob(root: Path, layer: Layer) -> Path:
    """Raises ModelLoadError where it is not a whole file inside the store."""
    path = _inside(root / "blobs" / layer.file, root)
    try:
        found = path.stat()
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}; pull the model again") from error
    if not S_ISREG(found.st_mode) or found.st_size != layer.size_bytes:
        raise ModelLoadError(
            f"{path} has {found.st_size} bytes, and its manifest says {layer.size_bytes}: it is not whole; "
            "pull the model again (ollama pull)"
        )
    return path


def _inside(path: Path, root: Path) -> Path:
    """Where a path really leads. Raises ModelLoadError where that is outside the store."""
    try:
        # Of a circle of links `Path.resolve` raises RuntimeError, in Python before 3.13.
        real, store = (Path(os.path.realpath(one, strict=True)) for one in (path, root))
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}; pull the model again") from error
    if not real.is_relative_to(store):
        raise ModelLoadError(f"{path} is a link out of Ollama's store, to {real}, and is not followed")
    return real


def _read(path: Path, root: Path, most_bytes: int) -> bytes:
    """A small file of the store. Raises ModelLoadError."""
    real = _inside(path, root)
    try:
        if not S_ISREG(real.stat().st_mode):
            raise ModelLoadError(f"{path} is no file; pull the model again (ollama pull)")
        with real.open("rb") as file:
            text = file.read(most_bytes + 1)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > most_bytes:
        raise ModelLoadError(f"{path} has more than {most_bytes} bytes, and is not what Ollama writes")
    return text
