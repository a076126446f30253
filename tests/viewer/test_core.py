"""The core of the viewer says the same as Python: of texts, numbers and explanations, real and hostile."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from scripts.viewer_words import INTO, text
from tests.api.test_hostile_text import TEXTS
from tests.viewer.explained import record
from tests.viewer.hostile import hostile
from tests.viewer.needed import missing

from whence import Explainer, Explanation
from whence.demo.records import PROMPT, generate
from whence.explain.render import describe
from whence.explain.render.ranking import rank
from whence.explain.render.scale import percent, quantity, step
from whence.explain.render.view import Drawing
from whence.explain.render.visible import blanks_visible, visible, visible_characters
from whence.explain.schema import TargetKind, TextKind
from whence.providers.fake import FakeProvider

ROOT = Path(__file__).parents[2]
ESBUILD = ROOT / "viewer" / "node_modules" / "esbuild" / "bin" / "esbuild"
Told = Mapping[str, Any]
Ask = Callable[..., Told]


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Asks the core, in Node."""
    node = shutil.which("node")
    if node is None or not ESBUILD.exists():
        missing("Node, and what viewer/ needs of npm: cd viewer && npm ci")
    probe = tmp_path_factory.mktemp("core") / "probe.mjs"
    source = ROOT / "viewer" / "tests" / "probe.mjs"
    bundle = (ESBUILD, source, "--bundle", "--platform=node", "--format=esm", f"--outfile={probe}")
    subprocess.run([node, *bundle], check=True, capture_output=True, timeout=60)  # noqa: S603

    def asked(
        *,
        texts: Sequence[str] = (),
        shares: Sequence[float] = (),
        quantities: Sequence[float] = (),
        explanations: Iterable[tuple[Explanation, Sequence[tuple[int, int]]]] = (),
    ) -> Told:
        documents = [
            {"explanation": e.model_dump(mode="json"), "stretches": stretches}
            for e, stretches in explanations
        ]
        question = {
            "texts": texts,
            "shares": shares,
            "quantities": quantities,
            "explanations": documents,
        }
        done = subprocess.run(  # noqa: S603
            [node, probe], input=json.dumps(question), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        told: Told = json.loads(done.stdout)
        return told

    return asked


def test_the_words_are_current() -> None:
    assert INTO.read_text("utf-8") == text(), "python scripts/viewer_words.py"


def test_every_character_is_drawn_alike(ask: Ask) -> None:
    """But those of which the two know different versions of Unicode."""
    assigned = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) not in ("Cn", "Cs")]
    text = "".join(f"a{character}" for character in assigned)
    (drawn,) = ask(texts=[text])["drawn"]
    expected = visible_characters(text)
    told_apart = zip(text, drawn, expected, strict=True)
    assert [f"U+{ord(given):04X}" for given, own, other in told_apart if own != other] == []


NEIGHBOURS = "a\u0915é😀\u200b\u200c\u200d\ufe0e\ufe0f\U000e0101\U000e0041\u202e\0\r\n\t\x7f\x85\u3164\u0301"


def test_what_a_character_stands_beside_counts_alike(ask: Ask) -> None:
    texts = [*TEXTS.values(), *(f"{a}{b}{c}" for a in NEIGHBOURS for b in NEIGHBOURS for c in NEIGHBOURS)]
    texts += ["\ud800", "x\udfffy"]
    told = ask(texts=texts)
    assert told["drawn"] == [visible_characters(text) for text in texts]
    assert told["blanks"] == [blanks_visible(text) for text in texts]


def test_numbers_are_written_alike(ask: Ask) -> None:
    rng = np.random.default_rng(0)
    shares = [
        *rng.random(3000),
        *10 ** rng.uniform(-9, 0, 3000),
        *(i / 4000 for i in range(4001)),
        *(-rng.random(200)),
        1 - 1e-7,
        1 - 1e-5,
        0.0,
        1.0,
    ]
    scores = [
        *rng.standard_normal(3000),
        *(10 ** rng.uniform(-12, 12, 3000)),
        *(i / 64 for i in range(-3000, 3000)),
        *(float(np.float32(i / 1000)) for i in range(2000)),
        *(i + 0.5 for i in range(2000)),
        -0.0,
        99.95,
        999.5,
        9995.0,
        1e100,
        5e-324,
    ]
    shares, scores = list(map(float, shares)), list(map(float, scores))
    told = ask(shares=shares, quantities=scores)
    assert told["shares"] == [[percent(share), step(share)] for share in shares]
    assert told["quantities"] == [quantity(score) for score in scores]


CUES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")  # what the fake cites: ties


def _claims() -> Explanation:
    provider = FakeProvider(access="text", cites=True)
    return Explainer(provider).explain(
        "Go.", sources=[" ".join(f"It says {cue}." for cue in CUES)], method=["citations", "leave_one_out"]
    )


@cache
def _model() -> Explainer:
    return Explainer("demo")


def _demo(**arguments: Any) -> Explanation:
    return _model().explain(PROMPT, sources=[generate(5).text], **arguments)


@cache
def _real_and_hostile(segment_by: TextKind) -> tuple[Explanation, Explanation]:
    """Two with the token level: of a record, and of texts that break programs."""
    text = "The patient has asthma. " + " ".join(
        text for name, text in TEXTS.items() if name != "a word of 10,000 characters"
    )
    output = "The diagnosis is asthma. \U0001f9d1\u200d\u2695\ufe0f It is  mild.\n\n患者は\u00a0発熱した。"
    other = _model().explain(
        PROMPT, sources=[text, "No fever."], output=output, detail=True, segment_by=segment_by
    )
    return _demo(detail=True, segment_by=segment_by), other


MADE: Mapping[str, Callable[[], Explanation]] = {
    "two methods and all attention": record,
    "half precision, tokens and words": lambda: _demo(
        attention="float16", detail=True, segment_by="token", target_by="word"
    ),
    "claims": _claims,
    "a hostile text in every place": hostile,
}


@pytest.mark.parametrize("name", MADE)
def test_an_explanation_is_told_alike(name: str, ask: Ask) -> None:
    e = MADE[name]()
    (told,) = ask(explanations=[(e, [])])["explanations"]
    assert_alike(told, e)


def test_hostile_explanations_are_told_alike(ask: Ask) -> None:
    fake = Explainer("fake")
    made = [
        fake.explain(text, sources=[text, f"alpha {text}"], output=f"alpha {text}", detail=True)
        for text in TEXTS.values()
    ]
    for e, told in zip(made, ask(explanations=[(e, []) for e in made])["explanations"], strict=True):
        assert_alike(told, e)


def assert_alike(told: Told, e: Explanation) -> None:
    """Texts, shares, rankings, sentences and attention."""
    assert told["names"] == [visible(source.name).strip() for source in e.sources]
    assert told["targets"] == [_drawn(e.output.text, target.start, target.end) for target in e.output.targets]
    texts = {source.id: source.text or "" for source in e.sources}
    drawing = Drawing(e)
    assert told["segments"] == [
        drawing.quote(index).text
        if segment.box is not None
        else _drawn(texts[segment.source], segment.start, segment.end)
        for index, segment in enumerate(e.segments)
    ]
    assert told["keys"] == describe.keys(len(e.results))
    for index, result in enumerate(e.results):
        ranking, outside = rank(e, index, 3), e.elsewhere_share(index)
        for target, (own, balance) in enumerate(zip(told["results"][index], ranking.balances, strict=True)):
            np.testing.assert_allclose(own["shares"], ranking.shares[target], rtol=1e-6, atol=1e-12)
            assert own["elsewhere"] == pytest.approx(outside[target], abs=1e-7)
            assert own["parts"] == pytest.approx(dict(balance.parts or {}), abs=1e-7)
            assert own["best"] == [ranked.segment for ranked in balance.top]
            assert own["sentences"] == [
                describe.found(balance, result.scores),
                describe.measured(result.fidelity, target) or describe.not_measured(result.fidelity),
                describe.measured(result.groundedness, target) or describe.not_measured(result.groundedness),
                *(describe.score(ranked, result.scores) for ranked in balance.top),
            ]
    assert_same_attention(told["heads"], e)


def assert_same_attention(told: Told, e: Explanation) -> None:
    """Every weight of every head, and what is told of it beside."""
    heads = 0
    for block in e.attention or ():
        for head in block.data:
            own = told[f"{block.name} {head.layer} {head.head}"]
            weights = np.frombuffer(base64.b64decode(own["weights"]), dtype="<f4")
            np.testing.assert_allclose(
                weights, block.weights(head.layer, head.head).reshape(-1), rtol=2e-7, atol=0
            )
            np.testing.assert_array_equal(own["rowSums"], block.row_sums_of(head.layer, head.head))
            heads += 1
    assert heads == len(told)


def _drawn(text: str, start: int | None, end: int | None) -> str:
    return "".join(visible_characters(text)[start:end])


@pytest.mark.parametrize("target_by", get_args(TargetKind))
@pytest.mark.parametrize("segment_by", ["sentence", "token"])
def test_a_stretch_is_what_another_granularity_gives(
    segment_by: TextKind, target_by: TargetKind, ask: Ask
) -> None:
    made = _real_and_hostile(segment_by)
    again = [e.at(segment_by, target_by=target_by) for e in made]
    spans = [[(target.start, target.end) for target in e.output.targets] for e in again]
    told = ask(explanations=list(zip(made, spans, strict=True)))["explanations"]
    for e, own in zip(again, told, strict=True):
        scores = e.results[0].scores
        assert scores.elsewhere is not None
        asked = [(target.start, target.end) for target in e.output.targets]
        for index, (row, outside) in enumerate(zip(scores.values, scores.elsewhere, strict=True)):
            if asked.count(asked[index]) > 1:
                continue  # tokens of one character: as a stretch they are one
            stretch = own["stretches"][index]
            np.testing.assert_allclose(stretch["row"], row, rtol=1e-5, atol=1e-9)
            assert stretch["elsewhere"] == pytest.approx(outside.model_dump(), rel=1e-5, abs=1e-8)
