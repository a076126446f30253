"""The package alone, without any extra, in an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "tokenizers", "httpx", "anthropic", "google", "ollama", "fastapi"}
IMPORT_LIMIT_S = 0.3


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(  # noqa: S603
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the package and what it cannot do without."""
    folder = tmp_path_factory.mktemp("bare")
    programs = folder / ".venv" / "bin"
    # What is imported is compiled then: most of it never is.
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-compile")
    for command in (
        (sys.executable, "-m", "venv", folder / ".venv"),
        (*pip, "-c", ROOT / "constraints.txt", ROOT),
    ):
        done = run(*command, folder=folder)
        assert done.returncode == 0, done.stderr
    return programs


@pytest.fixture(params=["bare", "with every package of the tests"])
def python(request: pytest.FixtureRequest) -> Path:
    """Python of the bare environment, and of this one, where the heavy packages could be imported."""
    if request.param == "bare":
        programs: Path = request.getfixturevalue("bare")
        return programs / "python"
    return Path(sys.executable)


def output(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_takes_less_than_a_third_of_a_second(python: Path, tmp_path: Path) -> None:
    code = "import time; start = time.perf_counter(); import whence; print(time.perf_counter() - start)"
    times_s = [float(output(run(python, "-c", code, folder=tmp_path))) for _ in range(5)]
    assert min(times_s) < IMPORT_LIMIT_S


@pytest.mark.parametrize(
    "code",
    [
        "import whence",
        "from whence import Explainer, Explanation, Source",
        "import whence.explain.schema, whence.providers.registry, whence.providers.fake",
    ],
)
def test_the_import_brings_no_heavy_package(python: Path, tmp_path: Path, code: str) -> None:
    # Some packages put a name of theirs into every interpreter at its start.
    code = (
        "import sys; before = set(sys.modules); "
        f"{code}; print(*{{name.partition('.')[0] for name in set(sys.modules) - before}})"
    )
    loaded = set(output(run(python, "-c", code, folder=tmp_path)).split())
    assert "whence" in loaded
    assert not loaded & HEAVY
    assert not [name for name in loaded if name.startswith("langchain")]


def test_no_extra_came_along(bare: Path, tmp_path: Path) -> None:
    listed = json.loads(output(run(bare / "python", "-m", "pip", "list", "--format=json", folder=tmp_path)))
    assert not {item["name"].lower() for item in listed} & HEAVY


def test_the_package_brings_its_types_and_its_license(bare: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.metadata, pathlib, whence;"
        "print(pathlib.Path(whence.__file__).parent.joinpath('py.typed').exists());"
        "print(importlib.metadata.metadata('whence').get_all('License-File'));"
        "print(pathlib.Path(whence.__file__).parents[1].joinpath('api').exists())"
    )
    assert output(run(bare / "python", "-c", code, folder=tmp_path)).split("\n")[:3] == [
        "True",
        "['LICENSE']",
        "False",
    ]


def test_help_is_there(bare: Path, tmp_path: Path) -> None:
    assert "schema" in output(run(bare / "whence", "--help", folder=tmp_path))


def test_the_schema_is_printed(bare: Path, tmp_path: Path) -> None:
    schema = json.loads(output(run(bare / "whence", "schema", folder=tmp_path)))
    assert {"schema_version", "sources", "segments", "output", "results"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", ["huggingface:x", "demo"])
def test_a_missing_extra_names_its_pip_command(bare: Path, tmp_path: Path, name: str) -> None:
    code = f"""
import whence
try:
    whence.Explainer({name!r})
except whence.MissingExtraError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    assert "pip install 'whence[huggingface]'" in output(run(bare / "python", "-c", code, folder=tmp_path))
