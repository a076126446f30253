"""The real faces: one demo model for all tests, and the `whence` program in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from whence import Explainer
from whence.demo.records import generate

PROGRAM = Path(sys.executable).with_name("whence")
TIME_LIMIT_S = 120  # never reached unless something hangs; loading torch takes seconds


def environment() -> dict[str, str]:
    """This one, less what decides how a program draws."""
    away = {"FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "PYTHONIOENCODING"}
    kept = {name: value for name, value in os.environ.items() if name not in away}
    return kept | {"TERM": "xterm-256color", "PYTHONUTF8": "1"}


Run = Callable[..., CompletedProcess[str]]


def run(command: list[str], folder: Path, stdin: bytes, **variables: str) -> CompletedProcess[str]:
    """Both streams as they were written, newlines and all."""
    done = subprocess.run(  # noqa: S603
        command,
        cwd=folder,
        env=environment() | variables,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=TIME_LIMIT_S,
    )
    out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return CompletedProcess(command, done.returncode, out, err)


@pytest.fixture
def program() -> list[str]:
    """The command that starts the program."""
    return [str(PROGRAM)]


@pytest.fixture
def variables() -> dict[str, str]:
    """The environment that the program gets."""
    return environment()


@pytest.fixture
def whence(tmp_path: Path) -> Run:
    """Run the program in an empty folder, on pipes: whence(*arguments, stdin=b"", **variables)."""

    def call(*arguments: str | Path, stdin: bytes = b"", **variables: str) -> CompletedProcess[str]:
        return run([str(PROGRAM), *map(str, arguments)], tmp_path, stdin, **variables)

    return call


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run some code in a Python of its own, which must end by itself."""
    return lambda code: run([sys.executable, "-W", "error", "-c", code], tmp_path, b"")


@pytest.fixture(scope="session")
def demo() -> Iterator[Explainer]:
    """The bundled model, loaded once."""
    with Explainer("demo") as explainer:
        yield explainer


@pytest.fixture(scope="session")
def record() -> str:
    """A record that the bundled model can read whole."""
    return generate(7).text


@pytest.fixture(scope="session")
def long_record() -> str:
    """Many records: far beyond the context of the bundled model."""
    return "\n\n".join(generate(seed).text for seed in range(40))


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model that never stops writing: the bundled one, deaf to its own end token."""
    folder = tmp_path_factory.mktemp("endless") / "model"
    with as_file(files("whence.demo") / "model") as model:
        shutil.copytree(model, folder)
    for name, changes in (
        ("config.json", {"max_position_embeddings": 1_000_000}),
        ("generation_config.json", {"eos_token_id": 0}),  # the padding, which is never written
    ):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return f"huggingface:{folder}"
