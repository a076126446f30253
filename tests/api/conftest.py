"""The real faces: one demo model for all tests, and the `whence` program in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from io import BytesIO, TextIOWrapper
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from whence import Explainer
from whence.api.cli import main
from whence.demo.records import generate

PROGRAM = Path(sys.executable).with_name("whence")
TIME_LIMIT_S = 120  # never reached unless something hangs; loading torch takes seconds


AWAY = {"FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "PYTHONIOENCODING"}
"""What decides how a program draws."""


def environment() -> dict[str, str]:
    """This one, less what decides how a program draws."""
    kept = {name: value for name, value in os.environ.items() if name not in AWAY}
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
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """As `whence`, in this process: for the many cases that need not each load torch for seconds."""

    def call(*arguments: str | Path, stdin: bytes = b"", **variables: str) -> CompletedProcess[str]:
        command = ["whence", *map(str, arguments)]
        capsys.readouterr()
        with monkeypatch.context() as patch:
            # Another test's handlers may write where nothing can be written any more.
            patch.setattr(logging.getLogger(), "handlers", [])
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", command)
            patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
            for name in AWAY:
                patch.delenv(name, raising=False)
            for name, value in ({"TERM": "dumb"} | variables).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = capsys.readouterr()
        return CompletedProcess(command, int(ended.value.code or 0), out, err)

    return call


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run some code in a Python of its own, which must end by itself."""
    return lambda code: run([sys.executable, "-W", "error", "-c", code], tmp_path, b"")


PROVIDERS = '''
import os
from whence.providers.base import Prices
from whence.providers.errors import RateLimitError, UnavailableError
from whence.providers.fake import FakeProvider

class Counting(FakeProvider):
    """Leaves a mark in a file whenever it is asked."""

    async def generate(self, *arguments, **options):
        self._mark()
        return await super().generate(*arguments, **options)

    async def score(self, *arguments, **options):
        self._mark()
        return await super().score(*arguments, **options)

    def _mark(self):
        with open(os.environ["MARKS"], "a") as file:
            file.write("x")

def paid():
    prices = Prices(input_per_million=1e6, output_per_million=2e6, currency="EUR")
    return Counting(access="text", prices=prices)

def unpriced():
    return Metered(access="text")

class Metered(Counting):
    async def capabilities(self):
        import dataclasses
        return dataclasses.replace(await super().capabilities(), metered=True)

def slow():
    return Counting(access="logprobs", latency_s=0.2, max_in_flight=2)

def limited():
    busy = RateLimitError("too many requests", retry_after_seconds=7.2)
    return FakeProvider(access="text", faults=[busy] * 9, deadline_seconds=0.5)

def away():
    return FakeProvider(access="text", faults=[UnavailableError("overloaded")] * 9, deadline_seconds=0.5)
'''
MAIN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from whence.providers.registry import PROVIDERS, Entry
for name in ("Counting", "Metered", "paid", "unpriced", "slow", "limited", "away"):
    PROVIDERS[name.lower()] = Entry(factory=f"made_up:{name}", about="made up")
from whence.api.cli import main
main()
"""


@dataclass(frozen=True)
class Marked:
    """The program with more providers, those of PROVIDERS, and how often they were asked."""

    command: list[str]
    environment: dict[str, str]

    @property
    def asked(self) -> int:
        """How many calls reached a provider so far."""
        marks = Path(self.environment["MARKS"])
        return len(marks.read_text()) if marks.exists() else 0

    def __call__(self, *arguments: str, stdin: bytes = b"") -> CompletedProcess[str]:
        """Run it on pipes."""
        folder = Path(self.environment["MARKS"]).parent
        return run([*self.command, *arguments], folder, stdin, **self.environment)


@pytest.fixture
def marked(tmp_path: Path) -> Marked:
    """Its command line, for a process of its own."""
    (tmp_path / "made_up.py").write_text(PROVIDERS)
    return Marked([sys.executable, "-c", MAIN, str(tmp_path)], {"MARKS": str(tmp_path / "marks")})


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
