"""From a name to the file with the weights: through a store that may be damaged, forged, or lead outside."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.providers.ollama.storing import GGUF, OTHER, WEIGHTS, found, small, stored, weights
from tests.servers.ollama_store import FROM_HUGGING_FACE, Store

from whence.providers.errors import ModelLoadError, UnsupportedError, WhenceError
from whence.providers.ollama.place import name_of
from whence.providers.ollama.store import LARGEST_MANIFEST_BYTES, Blob, check_digest, find, roots


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return small(tmp_path / "models")


def rewrite(store: Store, change: Callable[[dict[str, Any]], Any]) -> None:
    """Another manifest under the same name, which the server names too."""
    manifest = stored(store).manifest
    change(manifest)
    stored(store).path.write_text(json.dumps(manifest))


def test_the_weights_are_those_of_the_manifest(store: Store) -> None:
    blob = found(store)
    assert blob == Blob(
        path=weights(store), digest=f"sha256:{sha256(WEIGHTS).hexdigest()}", size_bytes=len(WEIGHTS)
    )
    check_digest(blob)


@pytest.mark.parametrize("name", ["TINY", "Tiny:Latest", "library/tiny", "REGISTRY.ollama.ai/Library/tiny"])
def test_a_name_in_another_case_is_the_same_model(store: Store, name: str) -> None:
    assert find(name_of(name), stored(store).digest, [store.root]) == found(store)


def test_a_model_of_hugging_face_lies_below_its_own_host(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(FROM_HUGGING_FACE, GGUF, {"model": WEIGHTS})
    assert (tmp_path / "manifests" / "hf.co" / "whence" / "demo-GGUF" / "Q8_0").is_file()
    assert found(store, FROM_HUGGING_FACE).path == weights(store, FROM_HUGGING_FACE)


def test_of_two_stores_the_one_with_the_server_s_manifest_is_taken(store: Store, tmp_path: Path) -> None:
    older = Store(tmp_path / "older")
    older.add("tiny", GGUF, {"model": OTHER})
    digest, missing = stored(store).digest, tmp_path / "missing"
    for folders in ([missing, older.root, store.root], [store.root, older.root]):
        assert find(name_of("tiny"), digest, folders).path == weights(store)
    with pytest.raises(UnsupportedError, match="not found in"):
        find(name_of("tiny"), digest, [older.root])


def test_the_folder_is_the_one_given_then_the_variable_s_then_the_usual_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert roots(None)[0] == tmp_path / ".ollama" / "models"
    assert roots(None)[1:] == [Path("/usr/share/ollama/.ollama/models")]
    monkeypatch.setenv("OLLAMA_MODELS", "~/elsewhere")
    assert roots(None) == [tmp_path / "elsewhere"]
    assert roots("here") == roots(Path("here")) == [Path("here")]


# What is damaged.


def test_a_manifest_that_the_server_does_not_name_is_not_its_model(store: Store) -> None:
    digest = stored(store).digest
    rewrite(store, lambda manifest: manifest["layers"].pop())
    with pytest.raises(UnsupportedError, match=r"not found in.*models_dir=, OLLAMA_MODELS"):
        find(name_of("tiny"), digest, [store.root])


def test_a_blob_that_was_cut_or_grew_is_refused_before_it_is_read(store: Store) -> None:
    for content in (WEIGHTS[:-1], WEIGHTS + b"x", b""):
        weights(store).write_bytes(content)
        with pytest.raises(ModelLoadError, match=f"has {len(content)} bytes.*says {len(WEIGHTS)}.*pull"):
            found(store)


def test_a_blob_of_the_same_length_and_other_content_is_refused_by_its_digest(store: Store) -> None:
    blob = found(store)
    weights(store).write_bytes(OTHER + b"x")
    with pytest.raises(ModelLoadError, match=r"not the file that its name says.*ollama pull"):
        check_digest(blob)


def test_a_blob_that_is_gone_is_said(store: Store) -> None:
    blob = found(store)
    weights(store).unlink()
    with pytest.raises(ModelLoadError, match=r"No such file.*pull the model again"):
        found(store)
    with pytest.raises(ModelLoadError, match="cannot be read: No such file"):
        check_digest(blob)


@pytest.mark.parametrize("kind", ["weights", "config", "manifest"])
def test_a_folder_in_the_place_of_a_file_is_said(store: Store, kind: str) -> None:
    model = stored(store)
    path = {
        "weights": weights(store),
        "config": model.blob(model.manifest["config"]["digest"]),
        "manifest": model.path,
    }[kind]
    digest = model.digest
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelLoadError, match=r"no file|is not whole|is a directory"):
        find(name_of("tiny"), digest, [store.root])


@pytest.mark.parametrize("place", ["manifests", "blobs"])
def test_a_file_in_the_place_of_a_folder_is_said(store: Store, place: str) -> None:
    digest = stored(store).digest
    (store.root / place).rename(store.root / "away")
    (store.root / place).write_text("")
    with pytest.raises((UnsupportedError, ModelLoadError), match=r"not found in|cannot be read"):
        find(name_of("tiny"), digest, [store.root])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="who may read all is refused nothing")
@pytest.mark.parametrize("place", ["manifests", "blobs", "weights"])
def test_what_may_not_be_read_is_said(store: Store, place: str) -> None:
    digest = stored(store).digest
    path = weights(store) if place == "weights" else store.root / place
    path.chmod(0)
    try:
        with pytest.raises((UnsupportedError, ModelLoadError), match=r"not found in|cannot be read"):
            check_digest(find(name_of("tiny"), digest, [store.root]))
    finally:
        path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("kind", ["weights", "config", "manifest"])
def test_a_pipe_is_not_waited_for(store: Store, kind: str) -> None:
    model = stored(store)
    config = model.blob(model.manifest["config"]["digest"])
    path = {"weights": weights(store), "config": config, "manifest": model.path}[kind]
    digest = model.digest
    path.unlink()
    os.mkfifo(path)
    caught: list[BaseException] = []

    def look() -> None:
        try:
            find(name_of("tiny"), digest, [store.root])
        except WhenceError as error:
            caught.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(caught[0], ModelLoadError)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"layers":[]}',
        b'{"config":{},"layers":[]}',
        b"[" * 100_000,
        b'{"config":{"mediaType":"x","digest":"sha256:' + b"0" * 64 + b'","size":-1},"layers":[]}',
    ],
    ids=["empty", "cut", "list", "bytes", "no config", "no digest", "deep", "negative"],
)  # fmt: skip
def test_a_manifest_that_is_none_is_said(store: Store, text: bytes) -> None:
    stored(store).path.write_bytes(text)
    with pytest.raises(ModelLoadError, match=r"no manifest of Ollama's.*pull"):
        find(name_of("tiny"), sha256(text).hexdigest(), [store.root])


def test_a_manifest_without_end_is_not_read_whole(store: Store) -> None:
    path = stored(store).path
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room on most disks
    with pytest.raises(ModelLoadError, match=f"more than {LARGEST_MANIFEST_BYTES} bytes"):
        find(name_of("tiny"), "0" * 64, [store.root])


# What leads outside.


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../etc/passwd",
        "../../secret",
        "/etc/passwd",
        "sha256-" + "0" * 64,
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 64 + "\n",
        "sha256:" + "G" * 64,
        "sha256:" + "0" * 63 + "/",
        "md5:" + "0" * 64,
        "",
    ],
)
@pytest.mark.parametrize("place", ["layers", "config"])
def test_a_digest_that_is_a_path_is_refused(store: Store, digest: str, place: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        (manifest["layers"][0] if place == "layers" else manifest["config"])["digest"] = digest

    rewrite(store, change)
    with pytest.raises(ModelLoadError, match="no manifest of Ollama's"):
        found(store)


@pytest.mark.parametrize("kind", ["weights", "config"])
def test_a_link_of_a_blob_out_of_the_store_is_not_followed(store: Store, tmp_path: Path, kind: str) -> None:
    model = stored(store)
    path = weights(store) if kind == "weights" else model.blob(model.manifest["config"]["digest"])
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(ModelLoadError, match=r"a link out of Ollama's store.*not followed"):
        found(store)


@pytest.mark.parametrize("part", ["file", "folder", "all"])
def test_a_link_of_a_manifest_out_of_the_store_is_not_followed(
    store: Store, tmp_path: Path, part: str
) -> None:
    digest, path = stored(store).digest, stored(store).path
    moved = {"file": path, "folder": path.parent, "all": store.root / "manifests"}[part]
    moved.rename(tmp_path / "outside")
    moved.symlink_to(tmp_path / "outside")
    with pytest.raises(ModelLoadError, match=r"a link out of Ollama's store.*not followed"):
        find(name_of("tiny"), digest, [store.root])


def test_links_that_lead_nowhere_or_in_a_circle_are_said(store: Store) -> None:
    path = weights(store)
    for target in (path.with_name("missing"), path):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(ModelLoadError, match="cannot be read"):
            found(store)


def test_a_link_within_the_store_and_a_store_that_is_a_link_are_fine(store: Store, tmp_path: Path) -> None:
    path = weights(store)
    path.rename(path.with_name("kept"))
    path.symlink_to("kept")
    assert found(store).path == path.with_name("kept")
    path.unlink()
    path.with_name("kept").rename(path)
    (tmp_path / "linked").symlink_to(store.root)
    assert find(name_of("tiny"), stored(store).digest, [tmp_path / "linked"]).path == path
