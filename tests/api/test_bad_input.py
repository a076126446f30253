"""What cannot be explained is refused: by the SDK with an error of the tree, by the program with its message.

A new case is one line in CASES, and is then run through both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import whence as w
from whence import Explainer, FakeProvider, Message, Source

Run = Callable[..., CompletedProcess[str]]
PRIVATE = "Fotheringay"
SOURCE = f"alpha {PRIVATE}. "
LONG = SOURCE * 500
DEMO_LAYERS, DEMO_CONTEXT = 4, 1024


def directory(*, config: str | None = None, weights: str | None = None) -> Callable[[Path], str]:
    """A model's name: a local directory with this config.json, and a file of weights of that name."""

    def make(folder: Path) -> str:
        model = folder / "model"
        model.mkdir()
        if config is not None:
            (model / "config.json").write_text(config)
        if weights is not None:
            tensors = {"lm_head.weight": torch.zeros(2, 2)}
            if weights.endswith(".safetensors"):
                save_file(tensors, model / weights)
            else:
                torch.save(tensors, model / weights)
        return f"huggingface:{model}"

    return make


@dataclass(frozen=True, kw_only=True)
class Case:
    """`arguments` are those of `explain`; the program gets the same as options.

    `code`: how the program exits. Its message is the SDK's, word for word, unless `program_says` tells
    what its parser or its reading of files says before.
    """

    error: type[w.WhenceError]
    says: str
    provider: str | Callable[[Path], str] = "fake"
    prompt: str = "Do."
    sources: Sequence[str] = (SOURCE,)
    arguments: dict[str, Any] = field(default_factory=dict)
    code: int = 2
    program_says: str | None = None


CASES = {
    # What to do, and with what.
    "an empty prompt": Case(error=w.EmptyPromptError, says="the prompt is empty", prompt=""),
    "a blank prompt": Case(error=w.EmptyPromptError, says="the prompt is empty", prompt=" \n\t\u3000"),
    "no source": Case(error=w.NoSourceError, says="no source has any text", sources=()),
    "an empty source": Case(error=w.NoSourceError, says="no source has any text", sources=[""]),
    "blank sources": Case(
        error=w.NoSourceError, says="no source has any text", sources=[" \n", "\u3000\xa0\x1f"]
    ),
    "a lone surrogate in the prompt": Case(
        error=w.TextError,
        says="the user message holds a lone surrogate ('\\udcff' at character 2)",
        prompt="Do\udcff",
    ),
    "a lone surrogate in a source": Case(
        error=w.TextError,
        says="source 'source-1.txt' holds a lone surrogate ('\\ud800' at character 1)",
        sources=["x\ud800"],
        program_says="'source-1.txt' is not UTF-8 text (byte 1 is 0xed)",  # no file can hold one
    ),
    "a lone surrogate in the output": Case(
        error=w.TextError,
        says="the output holds a lone surrogate ('\\udcff' at character 0)",
        arguments={"output": "\udcff"},
    ),
    "an empty output": Case(error=w.EmptyOutputError, says="the output is empty", arguments={"output": ""}),
    "a blank output": Case(error=w.EmptyOutputError, says="the output is empty", arguments={"output": " \n"}),
    # More than the model can read.
    "a source beyond the context": Case(
        error=w.ContextLengthError, says="more than the", provider="demo", sources=[LONG], code=1
    ),
    # Names.
    "an unknown provider": Case(
        error=w.UnknownProviderError,
        says="unknown provider 'no-such'; known: demo, fake, huggingface",
        provider="no-such:model",
    ),
    "no provider": Case(error=w.UnknownProviderError, says="unknown provider ''", provider=""),
    "a provider without its model": Case(
        error=w.InputError, says="huggingface needs the name of a model", provider="huggingface"
    ),
    "a model of a provider that has one": Case(
        error=w.InputError, says="write 'fake', not 'fake:large'", provider="fake:large"
    ),
    "an unknown model": Case(
        error=w.UnknownModelError,
        says="unknown Hugging Face model 'no/such-model'",
        provider="huggingface:no/such-model",
    ),
    "a directory without a configuration": Case(
        error=w.ModelLoadError,
        says="config.json",
        provider=directory(weights="model.safetensors"),
        code=1,
    ),
    "a directory with a pickle only": Case(
        error=w.ModelLoadError,
        says="a pickle can run code",
        provider=directory(config='{"model_type": "llama"}', weights="pytorch_model.bin"),
        code=1,
    ),
    # Methods and their parameters.
    "an unknown method": Case(
        error=w.UnknownMethodError,
        says="unknown method 'no-such'; known: auto, attention",
        arguments={"method": "no-such"},
    ),
    "no method": Case(
        error=w.UnknownMethodError, says="unknown method ''; known: auto", arguments={"method": ""}
    ),
    "a method twice": Case(
        error=w.InputError, says="several different ones", arguments={"method": ["attention", "attention"]}
    ),
    "a method twice, once by another name": Case(
        error=w.InputError, says="name each one once", arguments={"method": ["auto", "attention"]}
    ),
    "an unknown layer": Case(
        error=w.UnknownLayerError,
        says=f"unknown layer {DEMO_LAYERS}; known: 0 to {DEMO_LAYERS - 1}",
        provider="demo",
        arguments={"layers": [0, DEMO_LAYERS]},
    ),
    "an unknown head": Case(
        error=w.UnknownLayerError,
        says="unknown head 1; known: 0",
        arguments={"heads": [1, 0]},
    ),
    "a negative layer": Case(error=w.UnknownLayerError, says="unknown layer -1", arguments={"layers": [-1]}),
    "layers that are no numbers": Case(
        error=w.InputError,
        says="layers is 'first'; give one index from 0",
        arguments={"layers": "first"},
        program_says="--layers is 'first'; write numbers such as 0,3",
    ),
    "no layers": Case(
        error=w.InputError,
        says="layers is []; give one index from 0",
        arguments={"layers": []},
        program_says="--layers is ''; write numbers such as 0,3",
    ),
    "heads with a gap": Case(
        error=w.InputError,
        says="heads is [0, None]; give one index from 0",
        arguments={"heads": [0, None]},
        program_says="--heads is '0,None'; write numbers such as 0,3",
    ),
    # The rest.
    "no tokens": Case(
        error=w.InputError,
        says="max_tokens is 0; ask for at least one",
        arguments={"max_tokens": 0},
        program_says="Invalid value for '--max-tokens'",
    ),
    "an unknown kind of segment": Case(
        error=w.InputError,
        says="segment_by is 'chapter'; choose one of token, word, sentence, paragraph, source",
        arguments={"segment_by": "chapter"},
        program_says="'chapter' is not one of 'token', 'word', 'sentence', 'paragraph', 'source'",
    ),
    "a kind of segment that text does not have": Case(
        error=w.InputError,
        says="segment_by is 'region'",
        arguments={"segment_by": "region"},
        program_says="'region' is not one of",
    ),
    "an unknown kind of target": Case(
        error=w.InputError,
        says="target_by is 'paragraph'; choose one of token, word, sentence, whole",
        arguments={"target_by": "paragraph"},
        program_says="'paragraph' is not one of 'token', 'word', 'sentence', 'whole'",
    ),
}

OPTIONS = {
    "output": "--output-text",
    "max_tokens": "--max-tokens",
    "segment_by": "--segment-by",
    "target_by": "--target-by",
}


def options(arguments: dict[str, Any]) -> list[str]:
    """The program's options for these arguments of `explain`."""
    written = []
    for name, value in arguments.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        option = OPTIONS.get(name, f"--{name}")
        written.append(option if value is True else f"{option}={text}")
    return written


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_on_both_faces(name: str, inside: Run, tmp_path: Path) -> None:
    case = CASES[name]
    provider = case.provider if isinstance(case.provider, str) else case.provider(tmp_path)
    files = [f"source-{number}.txt" for number in range(1, len(case.sources) + 1)]
    for path, text in zip(files, case.sources, strict=True):
        (tmp_path / path).write_bytes(text.encode(errors="surrogatepass"))
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(case.error) as raised:
        Explainer(provider).explain(
            case.prompt,
            sources=[Source(text=text, name=path) for path, text in zip(files, case.sources, strict=True)],
            **case.arguments,
        )
    assert type(raised.value) is case.error
    assert case.says in str(raised.value)
    assert PRIVATE not in str(raised.value), "the record's text is confidential"

    done = inside(
        "explain",
        *files,
        "--model",
        provider,
        "--prompt",
        case.prompt,
        *options(case.arguments),
        "-o",
        "x.json",
    )
    assert done.returncode == case.code, done.stderr
    if case.program_says is None:
        assert done.stderr == f"error: {raised.value}\n"
    else:
        assert case.program_says in done.stderr
    assert "Traceback" not in done.stderr
    assert PRIVATE not in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before, "a file was left behind"


def test_the_heads_of_the_demo_are_counted_too(demo: Explainer) -> None:
    with pytest.raises(w.UnknownLayerError, match="unknown head 8; known: 0 to 7"):
        demo.explain("Do.", sources=[SOURCE], output="So.", heads=8)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        pytest.param(
            lambda folder: f"huggingface:{folder}/no", w.UnknownModelError, "/no'", id="a path to nowhere"
        ),
        pytest.param(directory(), w.ModelLoadError, "holds no *.safetensors", id="an empty directory"),
        pytest.param(
            directory(config='{"model_type": "vit"}', weights="model.safetensors"),
            w.UnsupportedError,
            "vit cannot be explained; causal language models",
            id="a vision model",
        ),
        pytest.param(
            directory(
                config='{"model_type": "bart", "architectures": ["BartForSequenceClassification"]}',
                weights="model.safetensors",
            ),
            w.UnsupportedError,
            "BartForSequenceClassification cannot be explained",
            id="a classifier that is an encoder-decoder",
        ),
        pytest.param(
            directory(config='{"model_type": "llama"', weights="model.safetensors"),
            w.WhenceError,
            "config.json",
            id="a configuration that is no JSON",
        ),
    ],
)
def test_what_is_no_model_is_refused_by_the_sdk(
    make: Callable[[Path], str],
    error: type[w.WhenceError],
    says: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        Explainer(make(tmp_path)).explain("Do.", sources=[SOURCE])


def test_an_output_that_does_not_fit_is_helped_by_no_truncation(demo: Explainer) -> None:
    with pytest.raises(w.ContextLengthError, match=f"more than the {DEMO_CONTEXT}"):
        demo.explain("Do.", sources=[SOURCE], output=LONG, truncate=True)


def test_too_much_text_is_refused_by_exactly_as_many_tokens_as_the_message_says(demo: Explainer) -> None:
    def excess(sentences: int) -> int:
        with pytest.raises(w.ContextLengthError) as raised:
            demo.explain("Do.", sources=[SOURCE * sentences], output="So.")
        error = raised.value
        assert f"the text has {error.tokens} tokens" in str(error)
        assert f"{error.excess_tokens} more than the {DEMO_CONTEXT}" in str(error)
        return error.excess_tokens

    too_many = 300
    per_sentence = excess(too_many + 1) - excess(too_many)
    fits = too_many - math.ceil(excess(too_many) / per_sentence)
    assert len(demo.explain("Do.", sources=[SOURCE * fits], output="So.").segments) == fits
    assert 0 < excess(fits + 1) <= per_sentence


# What only the SDK can be asked.

NO_TEXT = Message(role="user", content=[Source(text=SOURCE)])
NO_SOURCE = Message(role="user", content="Do.")


def fake() -> Explainer:
    return Explainer("fake")


def closed() -> Explainer:
    explainer = fake()
    explainer.close()
    return explainer


SDK_CASES: dict[str, tuple[Callable[[], Explainer], dict[str, Any], type[w.WhenceError], str]] = {
    "a closed explainer": (closed, {}, w.InputError, "this Explainer is closed; make a new one"),
    "an unknown parameter": (
        fake,
        {"temperature": 1.0},
        w.InputError,
        "attention has no parameter 'temperature'; it takes heads, layers",
    ),
    "the full attention of a provider of scores": (
        lambda: Explainer(FakeProvider(access="logprobs")),
        {"attention": True},
        w.UnsupportedError,
        "attention= keeps the model's attention, and fake gives logprobs only",
    ),
    "the full attention in an unknown way": (
        fake,
        {"attention": "u4"},
        w.InputError,
        "attention is 'u4'; give True, False, 'u8', 'float16' or a KeepAttention",
    ),
    "a budget that is a number": (
        fake,
        {"budget": 5},
        w.InputError,
        "the budget cannot be understood (budget: Input should be a valid dictionary or instance of Budget); "
        "write Budget(calls=100)",
    ),
    "a budget of something else": (fake, {"budget": {"dollars": 5}}, w.InputError, "dollars: Extra inputs"),
    "a negative budget": (fake, {"budget": {"calls": -1}}, w.InputError, "calls: Input should be greater"),
    "a budget for nothing": (
        fake,
        {"budget": {"calls": 0}},
        w.BudgetError,
        "the budget of 0 calls does not allow the cheapest plan for attention: 2 calls are more than 0",
    ),
    "a provider of text, asked for attention": (
        lambda: Explainer(FakeProvider(access="text")),
        {"method": "attention"},
        w.UnsupportedError,
        "attention needs weights; this provider gives text. fake can serve: ",
    ),
    "one text for the sources": (fake, {"sources": SOURCE}, w.InputError, "pass a list: sources=[text]"),
    "one Source for the sources": (
        fake,
        {"sources": Source(text=SOURCE)},
        w.InputError,
        "pass a list: sources=[text]",
    ),
    "a path among the sources": (
        fake,
        {"sources": [SOURCE, Path("note.txt")]},
        w.InputError,
        "Path; pass texts, or Source(text=..., name=...)",
    ),
    "bytes among the sources": (
        fake,
        {"sources": [b"alpha"]},
        w.InputError,
        "sources holds bytes; pass texts",
    ),
    "no method at all": (fake, {"method": []}, w.InputError, "name one method"),
    "messages beside sources": (fake, {"prompt": [NO_SOURCE]}, w.InputError, "place each Source inside"),
    "messages beside a system text": (
        fake,
        {"prompt": [NO_SOURCE], "sources": (), "system": "Be brief."},
        w.InputError,
        "a message of role 'system'",
    ),
    "messages without a text": (
        fake,
        {"prompt": [NO_TEXT], "sources": ()},
        w.EmptyPromptError,
        "the prompt is empty",
    ),
    "no messages": (fake, {"prompt": [], "sources": ()}, w.NoSourceError, "no source has any text"),
    "messages without a source": (
        fake,
        {"prompt": [NO_SOURCE], "sources": ()},
        w.NoSourceError,
        "no source has any text",
    ),
    "a lone surrogate in the system text": (
        fake,
        {"system": "\ud800"},
        w.TextError,
        "the system message holds a lone surrogate",
    ),
}


@pytest.mark.parametrize("name", SDK_CASES)
def test_bad_input_is_refused_by_the_sdk(name: str) -> None:
    explainer, arguments, error, says = SDK_CASES[name]
    with pytest.raises(error, match=re.escape(says)) as raised:
        explainer().explain(**({"prompt": "Do.", "sources": [SOURCE]} | arguments))
    assert type(raised.value) is error
    assert PRIVATE not in str(raised.value)


@pytest.mark.parametrize("access", ["text", "logprobs"])
def test_what_cannot_be_served_is_refused_before_anything_is_asked(access: Any) -> None:
    provider = FakeProvider(access=access)
    with pytest.raises(w.UnsupportedError):
        Explainer(provider).explain("Do.", sources=[SOURCE], method="attention")
    assert provider.calls == 0


def test_the_unanswerable_is_refused_before_anything_is_asked() -> None:
    provider = FakeProvider()
    for arguments in ({"temperature": 1}, {"method": ["auto", "attention"]}, {"max_tokens": 0}):
        with pytest.raises(w.InputError):
            Explainer(provider).explain("Do.", sources=[SOURCE], **arguments)
    assert provider.calls == 0


# What only the program can be asked: about files.


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("missing.txt", "cannot read 'missing.txt': No such file or directory; give the path of a text file"),
        ("folder", "cannot read 'folder': Is a directory"),
        ("scan.png", "'scan.png' is not UTF-8 text (byte 0 is 0x89)"),
        ("latin.txt", "'latin.txt' is not UTF-8 text (byte 3 is 0xe9); convert it"),
        ("utf16.txt", "'utf16.txt' is not UTF-8 text (byte 0 is 0xff)"),
        ("note.txt/x", "cannot read 'note.txt/x': Not a directory"),
    ],
)
def test_what_is_no_text_file_is_refused(inside: Run, tmp_path: Path, path: str, says: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "note.txt").write_text("alpha")
    (tmp_path / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "utf16.txt").write_bytes("café".encode("utf-16"))
    done = inside("explain", "-m", "fake", "note.txt", path, "-o", "x.json")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {says}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "x.json").exists()


def test_standard_input_that_is_no_text_is_refused(whence: Run) -> None:
    done = whence("explain", "-m", "fake", stdin=b"\xff")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: '-' is not UTF-8 text (byte 0 is 0xff)")


OUTS = {
    "x.pdf": "cannot write x.pdf: its ending says how; use one of .html, .json, .csv, .txt",
    "x": "cannot write x: its ending says how",
    ".json": "cannot write .json: its ending says how",
    "nowhere/x.json": "cannot write nowhere/x.json: there is no directory nowhere",
    "folder.json": "cannot write folder.json: it is a directory",
}


@pytest.mark.parametrize("out", OUTS)
def test_a_file_that_could_not_be_written_is_refused_before_the_model_is_asked(
    inside: Run, tmp_path: Path, out: str
) -> None:
    (tmp_path / "folder.json").mkdir()
    # Were the model asked first, it would be the one to fail.
    done = inside("explain", "-m", "no-such-model", "-o", "good.json", "-o", out, stdin=b"alpha")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {OUTS[out]}")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]


def test_demo_needs_its_directory(inside: Run) -> None:
    done = inside("demo", "--out-dir", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: cannot write nowhere/demo.html: there is no directory nowhere\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such-command"], "No such command 'no-such-command'"),
        (["explain", "--no-such-option"], "No such option: --no-such-option"),
        (["explain", "--top", "0"], "Invalid value for '--top'"),
        (["explain", "--max-tokens", "many"], "Invalid value for '--max-tokens'"),
    ],
)
def test_what_the_program_does_not_have_is_refused(whence: Run, arguments: list[str], says: str) -> None:
    done = whence(*arguments, stdin=b"alpha")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
