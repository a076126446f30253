"""The `whence` program, its streams piped.

Where the process itself is looked at (its pipes, its end, numbers that must not depend on what ran before) it
is one of its own, and else this one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.servers.ollama import OllamaServer
from typer.testing import CliRunner

import whence as package
from whence import Explainer, Explanation, Source
from whence.api.cli import DEMO_LAYER, DEMO_SEED, app
from whence.demo.records import PROMPT, generate
from whence.providers.registry import PROVIDERS

Run = Callable[..., CompletedProcess[str]]
TIME_LIMIT_S = 120


def read(path: Path) -> Explanation:
    return Explanation.model_validate_json(path.read_bytes())


@pytest.fixture
def explain(inside: Run, tmp_path: Path) -> Callable[..., Explanation]:
    """`whence explain --model fake ... --out out.json` on files with these contents: what it wrote."""

    def call(*arguments: str, **contents: str) -> Explanation:
        for name, text in contents.items():
            (tmp_path / name).write_bytes(text.encode())
        done = inside("explain", "--model", "fake", *contents, *arguments, "--out", "out.json")
        assert (done.returncode, done.stderr) == (0, "wrote out.json\n")
        return read(tmp_path / "out.json")

    return call


# Sources: files, standard input, or both.


def test_each_file_is_a_source_with_its_name(inside: Run, tmp_path: Path) -> None:
    (tmp_path / "ward").mkdir()
    for name, text in (("a.txt", "alpha"), ("ward/a.txt", "beta"), ("notes", "x\n")):
        (tmp_path / name).write_text(text)
    done = inside("explain", "-m", "fake", "a.txt", "ward/a.txt", "notes", "--out", "out.json")
    assert done.returncode == 0
    assert [(source.name, source.text) for source in read(tmp_path / "out.json").sources] == [
        ("a.txt", "alpha"),
        ("a.txt (2)", "beta"),
        ("notes", "x\n"),
    ]
    assert "(ward" not in done.stdout
    assert "(a.txt (2))" in done.stdout


def test_a_file_name_that_would_break_the_markup_is_mended(inside: Run, tmp_path: Path) -> None:
    name = 'a"<b>\n\udcff.txt'
    (tmp_path / name).write_text("alpha")
    done = inside("explain", "-m", "fake", name, "--out", "out.json")
    assert done.returncode == 0
    assert read(tmp_path / "out.json").sources[0].name == "a__b___.txt"


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_standard_input_is_a_source(whence: Run, tmp_path: Path, arguments: list[str]) -> None:
    done = whence("explain", *arguments, "-m", "fake", "--out", "out.json", stdin="alpha é\r\n".encode())
    assert done.returncode == 0
    (source,) = read(tmp_path / "out.json").sources
    assert (source.name, source.text) == ("stdin", "alpha é\r\n")


def test_standard_input_stands_beside_files(inside: Run, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("beta")
    done = inside("explain", "note.txt", "-", "-m", "fake", "--out", "out.json", stdin=b"alpha")
    assert done.returncode == 0
    explanation = read(tmp_path / "out.json")
    assert [(source.name, source.text) for source in explanation.sources] == [
        ("note.txt", "beta"),
        ("stdin", "alpha"),
    ]


def test_every_character_of_a_file_survives(whence: Run, tmp_path: Path) -> None:
    text = "\ufeffalpha one.\r\nbeta\rgamma\n\n\x0b\u2028 naïve cafe\u0301\x00 end \r\n"
    (tmp_path / "note.txt").write_bytes(text.encode())
    for arguments, stdin in ((["note.txt"], b""), (["-"], text.encode())):
        done = whence("explain", *arguments, "-m", "fake", "--out", "out.json", stdin=stdin)
        assert done.returncode == 0
        assert read(tmp_path / "out.json").sources[0].text == text


# Options, each with its effect.

CHECKS: dict[str, tuple[list[str], Callable[[Explanation], object], object]] = {
    "nothing": ([], lambda e: e.prompt.instruction, PROMPT),
    "--prompt": (["--prompt", "Be brief."], lambda e: e.prompt.instruction, "Be brief."),
    "-p": (["-p", "Be brief."], lambda e: e.prompt.instruction, "Be brief."),
    "--segment-by": (["--segment-by", "word"], lambda e: e.segments[0].kind, "word"),
    "--target-by": (["--target-by", "whole"], lambda e: len(e.output.targets), 1),
    "--output-text": (
        ["--output-text", " So. It is.\r\n"],
        lambda e: (e.output.text, e.output.given),
        (" So. It is.\r\n", True),
    ),
    "--layers": (["--layers", "0"], lambda e: e.results[0].method.parameters["layers"], [0]),
    "--heads": (["--heads", "0, 0"], lambda e: e.results[0].method.parameters["heads"], [0]),
    "--detail": (["--detail"], lambda e: e.results[0].detail is not None, True),
    "--attention": (["--attention"], lambda e: e.attention and e.attention[0].name, "decoder"),
    "--max-tokens": (
        ["--max-tokens", "2"],
        lambda e: (e.output.text, e.output.finish),
        ("The dose", "length"),
    ),
}


@pytest.mark.parametrize("option", CHECKS)
def test_every_option_has_its_effect(explain: Callable[..., Explanation], option: str) -> None:
    arguments, observe, wanted = CHECKS[option]
    text = "alpha one. gamma two."
    assert observe(explain(*arguments, note=text)) == wanted
    without = Explainer("fake").explain(PROMPT, sources=[text])
    assert (observe(without) != wanted) == bool(arguments), "it is so without the option, too"


def test_method_takes_names_separated_by_commas(explain: Callable[..., Explanation], inside: Run) -> None:
    explanation = explain("--method", "attention", note="alpha")
    assert [result.method.name for result in explanation.results] == ["attention"]
    done = inside("explain", "-m", "fake", "--method", "attention, no-such", stdin=b"alpha")
    assert done.returncode == 2
    assert "unknown method 'no-such'" in done.stderr


def test_top_says_how_many_passages_are_listed(inside: Run) -> None:
    counts = [
        inside("explain", "-m", "fake", "--top", n, stdin=b"epsilon.\nzeta.\neta.\n").stdout.count("(stdin)")
        for n in ("1", "2")
    ]
    assert counts == [1, 2]


def test_out_writes_every_format_and_what_stands_on_the_screen(inside: Run, tmp_path: Path) -> None:
    names = ["a.json", "b.html", "c.csv", "d.txt", "E.JSON"]
    done = inside("explain", "-m", "fake", *(part for name in names for part in ("-o", name)), stdin=b"alpha")
    assert done.returncode == 0
    assert done.stderr == "".join(f"wrote {name}\n" for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert read(tmp_path / "a.json") == read(tmp_path / "E.JSON")
    assert (tmp_path / "b.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "d.txt").read_bytes().decode() == done.stdout == str(read(tmp_path / "a.json"))


def test_no_script_writes_a_page_that_runs_nothing(inside: Run, tmp_path: Path) -> None:
    for name, options in (("viewer.html", ()), ("page.html", ("--no-script",))):
        assert inside("explain", "-m", "fake", "-o", name, *options, stdin=b"alpha").returncode == 0
    assert "<script" in (tmp_path / "viewer.html").read_text()
    assert "<script" not in (tmp_path / "page.html").read_text()


def test_a_file_that_was_there_is_replaced(inside: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    assert inside("explain", "-m", "fake", "-o", "a.json", stdin=b"alpha").returncode == 0
    assert read(tmp_path / "a.json").sources[0].text == "alpha"


# What a pipe receives.


def test_a_pipe_receives_text_and_nothing_else(whence: Run) -> None:
    done = whence("explain", "-m", "fake", "-", stdin=b"alpha \x1b[31mred\x1b[0m")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("Whence ")
    assert done.stdout.endswith("\n")
    assert not done.stdout.endswith("\n\n")


def test_a_pipe_that_cannot_hold_a_character_receives_its_number(whence: Run) -> None:
    done = whence("explain", "-m", "fake", stdin="alpha ☃.".encode(), PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "alpha \\u2603." in done.stdout


@pytest.mark.parametrize("arguments", [["schema"], ["explain", "-m", "fake"]])
def test_a_reader_who_leaves_early_gets_no_traceback(program: list[str], arguments: list[str]) -> None:
    process = subprocess.Popen(  # noqa: S603
        [*program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(b"alpha", timeout=TIME_LIMIT_S)
    assert b"Traceback" not in err
    assert process.returncode == 1


# The other commands.


def test_models_names_every_provider_on_a_line_of_its_own(
    inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    done = inside("models")
    assert (done.returncode, done.stderr) == (0, "")
    providers, _, held = done.stdout.partition("\n\n")
    assert held.startswith("ollama: no Ollama answers at http://127.0.0.1:9;")
    lines = providers.splitlines()
    names = [f"{name}:NAME" if entry.takes_model else name for name, entry in PROVIDERS.items()]
    assert [line.split()[0] for line in lines[1:]] == names
    assert all(line.split()[-1] == "yes" for line in lines[1:])


def test_models_says_of_each_that_an_ollama_holds_what_can_be_seen_of_it(inside: Run) -> None:
    with OllamaServer() as server:
        done = inside(
            "models",
            OLLAMA_HOST=server.url,
            OLLAMA_MODELS=str(server.store),
            COLUMNS="240",
            OLLAMA_API_KEY="",
        )
        assert server.calls == 0
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.partition("\n\n")[2].splitlines()
    assert table[0].split()[:5] == ["Ollama", "0.33.0", "at", server.url, "holds"]
    access = {line.split()[0]: line.split()[1] for line in table[1:] if line.startswith(" ollama:")}
    assert access == {
        "ollama:demo:latest": "weights",
        "ollama:demo:q8_0": "weights",
        "ollama:demo:q4_0": "weights",
        "ollama:hf.co/whence/demo-GGUF:Q8_0": "weights",
        "ollama:briefed:latest": "weights",
        "ollama:thinker:latest": "weights",
        "ollama:tooled:latest": "weights",
        "ollama:adapted:latest": "logprobs",
        "ollama:seeing:latest": "logprobs",
        "ollama:tensors:latest": "text",
        "ollama:embedder:latest": "none",
        "ollama:gpt-oss:120b-cloud": "none",
    }
    for reason in ("an adapter (LoRA)", "a projector for images", "writes no text", "Ollama's cloud"):
        assert reason in done.stdout


def test_schema_is_that_of_an_explanation(inside: Run) -> None:
    done = inside("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == Explanation.model_json_schema()


def test_version_is_that_of_the_package(whence: Run) -> None:
    assert whence("--version").stdout == f"{package.__version__}\n"


@pytest.mark.parametrize("command", [[], ["explain"], ["models"], ["schema"], ["demo"]])
def test_help_is_plain_text(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"], prog_name="whence")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: whence")
    assert done.stdout.isascii(), "a box is no text"
    assert "..." not in done.stdout.replace("[FILES]...", "").replace("[ARGS]...", ""), "a cut description"


def test_help_names_every_command_and_exit_code(whence: Run) -> None:
    done = whence("--help")
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    for word in ("explain", "models", "schema", "demo", "0 explained", "1 the", "2 the", "130 interrupted"):
        assert word in text


def test_without_a_command_there_is_help(whence: Run) -> None:
    done = whence()
    assert done.returncode == 2
    assert "Usage: whence" in done.stdout + done.stderr


# The bundled model: the same numbers on every face.


def scores(explanation: Explanation) -> dict[str, Any]:
    """All of it, but for its name and how long it took."""
    written: dict[str, Any] = json.loads(explanation.model_dump_json(exclude={"id", "created_at"}))
    del written["cost"]["seconds"]
    return written


def test_demo_writes_what_the_sdk_explains(whence: Run, tmp_path: Path, demo: Explainer) -> None:
    (tmp_path / "here").mkdir()
    done = whence("demo", "--out-dir", "here")
    assert done.returncode == 0
    assert done.stderr.startswith("wrote here/demo.html\nwrote here/demo.json\n")
    assert f"layer {DEMO_LAYER}" in done.stderr
    assert "\x1b" not in done.stdout
    assert (tmp_path / "here" / "demo.html").read_text().startswith("<!doctype html>")
    cli = read(tmp_path / "here" / "demo.json")
    assert done.stdout == str(cli)
    source = Source(text=generate(DEMO_SEED).text, name="record")
    sdk = demo.explain(PROMPT, sources=[source], detail=True, layers=DEMO_LAYER)
    assert cli.matrix().tobytes() == sdk.matrix().tobytes()
    assert scores(cli) == scores(sdk)


def test_explain_gives_the_numbers_of_the_sdk_to_the_last_digit(
    inside: Run, tmp_path: Path, demo: Explainer, long_record: str
) -> None:
    (tmp_path / "record.txt").write_bytes(long_record.encode())
    answer = "The patient is a 49-year-old woman. The diagnosis is asthma."
    options = (
        "--truncate",
        "--layers",
        "1,3",
        "--heads",
        "0,5",
        "--segment-by",
        "word",
        "--target-by",
        "word",
    )
    done = inside("explain", "record.txt", *options, "--output-text", answer, "-o", "x.json")
    assert (done.returncode, done.stderr) == (0, "wrote x.json\n")
    cli = read(tmp_path / "x.json")
    sdk = demo.explain(
        PROMPT,
        sources=[Source(text=long_record, name="record.txt")],
        output=answer,
        truncate=True,
        layers=[1, 3],
        heads=[0, 5],
        segment_by="word",
        target_by="word",
    )
    assert cli.matrix().tobytes() == sdk.matrix().tobytes()
    assert scores(cli) == scores(sdk)
    assert "did not read all of 'record.txt'" in done.stdout


# An interrupt while the program waits for its input; see test_terminal.py for one while it works.


def test_an_interrupt_while_reading_exits_with_130(program: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = subprocess.Popen(  # noqa: S603
        [*program, "explain", "-m", "fake", "pipe", "-o", "out.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with (tmp_path / "pipe").open("w"):  # opens when the program reads
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert out == b""
    assert not (tmp_path / "out.json").exists()
