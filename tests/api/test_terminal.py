"""The `whence` program on a real pseudo-terminal: colour, progress, and the interrupt."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*(3|4)8;[25];")
TIME_LIMIT_S = 120
ROWS, COLUMNS = 40, 100


class Terminal:
    """A program, and what it has drawn so far."""

    def __init__(self, command: list[str], folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.drawn = b""
        self.screen, program_side = pty.openpty()
        fcntl.ioctl(program_side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env=variables,
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            start_new_session=True,
        )
        os.close(program_side)

    @property
    def text(self) -> str:
        """All that was drawn, without escape codes."""
        return ESCAPE.sub("", self.drawn.decode(errors="replace"))

    def read_until(self, done: Callable[[], bool]) -> None:
        """Read on until `done`, or the program ends."""
        limit = time.monotonic() + TIME_LIMIT_S
        while not done():
            ready, _, _ = select.select([self.screen], [], [], limit - time.monotonic())
            assert ready, f"nothing more was drawn after: {self.text[-500:]}"
            try:
                self.drawn += os.read(self.screen, 65536)
            except OSError:  # the program closed its side
                return

    def finish(self) -> int:
        """Read to the end; the exit code."""
        self.read_until(lambda: False)
        return self.process.wait(TIME_LIMIT_S)


Start = Callable[..., Terminal]


@pytest.fixture
def terminal(program: list[str], variables: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start the program on a terminal, in an empty folder."""
    started: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        started.append(Terminal([*program, *arguments], tmp_path, variables))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        os.close(one.screen)


def test_a_terminal_gets_colour_progress_and_the_source_in_full(terminal: Start, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("alpha is here. nothing there.")
    shown = terminal("explain", "-m", "fake", "note.txt")
    assert shown.finish() == 0
    assert COLOUR.search(shown.drawn.decode()), "no passage is shaded"
    assert "loading the model" in shown.text
    assert "observing attention" in shown.text
    assert "The dose is low." in shown.text
    assert "alpha is here." in shown.text
    assert "nothing there." in shown.text, "no passage that is listed"
    assert shown.drawn.count(b"\x1b[?25h") >= shown.drawn.count(b"\x1b[?25l"), "the cursor stays hidden"


def test_a_terminal_sees_the_calls_of_how_many_and_a_plan_as_a_table(terminal: Start, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("alpha is here. nothing there. beta is there.")
    shown = terminal(
        "explain", "-m", "fake", "note.txt", "--method", "leave_one_out", "--set", "value=logprob"
    )
    assert shown.finish() == 0
    assert re.search(r"removing passages [^\n]*\d+/5", shown.text)
    planned = terminal("explain", "-m", "fake", "note.txt", "--method", "leave_one_out", "--dry-run")
    assert planned.finish() == 0
    lines = [line.split() for line in planned.text.splitlines()]
    assert ["calls", "tokens", "read", "tokens", "written"] in lines
    assert [line[1] for line in lines if line[:1] == ["total"]] == ["5"]
    assert "removing passages" not in planned.text


def test_an_error_is_red_on_a_terminal(terminal: Start) -> None:
    shown = terminal("explain", "-m", "fake", "missing.txt")
    assert shown.finish() == 2
    assert b"\x1b[31m" in shown.drawn
    assert "error: cannot read 'missing.txt'" in shown.text


def test_without_a_file_a_terminal_is_not_read(terminal: Start) -> None:
    shown = terminal("explain", "-m", "fake")
    assert shown.finish() == 2
    assert "no file is given" in shown.text


def test_an_interrupt_stops_the_model_and_leaves_no_file(
    terminal: Start, tmp_path: Path, endless: str
) -> None:
    (tmp_path / "note.txt").write_text("The patient has asthma.")
    shown = terminal("explain", "-m", endless, "note.txt", "--max-tokens", "900000", "-o", "out.json")
    shown.read_until(lambda: "writing" in shown.text)
    assert shown.process.poll() is None
    shown.process.send_signal(signal.SIGINT)
    assert shown.finish() == 130
    assert "interrupted" in shown.text
    assert "Traceback" not in shown.text
    assert shown.drawn.count(b"\x1b[?25h") >= shown.drawn.count(b"\x1b[?25l"), "the cursor stays hidden"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
