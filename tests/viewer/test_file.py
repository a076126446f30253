"""The file that `save` writes: it opens from disk, asks nothing of anybody, and holds all there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.viewer.conftest import Opens
from tests.viewer.explained import record
from tests.viewer.hostile import EXECUTED, hostile

from whence import Explanation
from whence.explain.cells import DTYPES, decode, encode, pool
from whence.explain.packing import pack, pack_plain, unpack
from whence.explain.render.viewer import PACKED_FROM, to_viewer
from whence.explain.result import Detail, Elsewhere, Measure, MethodRecord, Result, Scores
from whence.explain.schema import Cost, Output, OutputToken, PromptRecord, Segment, SourceRecord, Target

MEGABYTE = 1_000_000


class Blocks(HTMLParser):
    """The page's blocks of data by their ids, and how many scripts it runs."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.data: dict[str, str] = {}
        self.scripts = 0
        self._open: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open = given.get("id") if tag == "script" else None
        self.scripts += tag == "script" and "type" not in given
        assert tag not in ("img", "style", "link", "iframe")

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.data[self._open] = data

    def handle_endtag(self, tag: str) -> None:
        self._open = None


def test_the_sentences_of_the_output_are_there(opens: Opens) -> None:
    page = opens(record())
    for target in range(len(record().output.targets)):
        assert record().target_text(target).strip() in page.inner_text(".whence")


@pytest.mark.parametrize(
    "make", [record, hostile, lambda: _long(400, 60, 60)], ids=["real", "hostile", "long"]
)
def test_the_whole_explanation_can_be_taken_out_again(
    make: Callable[[], Explanation], tmp_path: Path
) -> None:
    e = make()
    page = e.save(tmp_path / "report.html").read_bytes().decode()
    assert page == to_viewer(e)
    blocks = Blocks(page)
    assert blocks.scripts == 1
    assert _restored(blocks.data) == e


def test_many_scores_are_packed_and_few_are_digits() -> None:
    for sentences, kind in ((PACKED_FROM // 400, dict), (PACKED_FROM // 400 - 1, list)):
        document = json.loads(Blocks(to_viewer(_long(400, 60, sentences))).data["explanation"])
        assert isinstance(document["results"][0]["scores"]["values"], kind)


def test_a_browser_reads_the_same_and_runs_nothing_of_it(opens: Opens) -> None:
    page = opens(hostile())
    read = page.evaluate("JSON.stringify(JSON.parse(document.getElementById('explanation').textContent))")
    assert json.loads(read) == json.loads(Blocks(to_viewer(hostile())).data["explanation"])
    assert page.evaluate(EXECUTED) is False
    assert page.title() == "Whence: explanation"


def test_the_report_of_a_retrieval_comes_with_it() -> None:
    report = '{"chunks": [], "query": "</script>\\u2028"}'
    blocks = Blocks(to_viewer(record(), report))
    assert json.loads(blocks.data["retrieval"]) == json.loads(report)
    assert blocks.scripts == 1
    assert "retrieval" not in Blocks(to_viewer(record())).data


def test_an_explanation_that_cannot_be_read_is_said_to_be(opens: Opens) -> None:
    newer = record().model_copy(update={"schema_version": "9.0"})
    assert "schema version 9.0; this viewer reads 1.0" in opens(newer).inner_text("body")


def test_a_lone_surrogate_is_refused_and_nothing_written(tmp_path: Path) -> None:
    output = record().output.model_copy(update={"text": "\ud800"})
    with pytest.raises(ValueError, match="surrogate"):
        record().model_copy(update={"output": output}).save(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_long_record_with_token_detail_is_small(tmp_path: Path) -> None:
    e = _long(2000, 250, 20)
    assert e.save(tmp_path / "report.html").stat().st_size <= 4 * MEGABYTE


def _restored(data: Mapping[str, str]) -> Explanation:
    """The explanation of a page's blocks of data."""
    document: dict[str, Any] = json.loads(data["explanation"])
    for block in document["attention"] or ():
        for head in block["data"]:
            head["values"] = data.get(f"head-{block['name']}-{head['layer']}-{head['head']}")
            if head["values"] is not None:
                shape = (len(block["queries"]), len(block["keys"]))
                codes = unpack(head["values"], shape, DTYPES[block["encoding"]])
                head["thumbnail"] = pack_plain(
                    encode(pool(decode(codes, block["encoding"])), "u8_log"), "|u1"
                )
    for result in document["results"]:
        for name in ("values", "stderr"):
            packed = result["scores"][name]
            if isinstance(packed, dict):
                result["scores"][name] = unpack(packed["values"], packed["shape"]).tolist()
    return Explanation.model_validate(document)


def _long(words: int, tokens: int, sentences: int) -> Explanation:
    """Random attention of `tokens` of an output on `words` of a record, by words, with the token level."""
    random = np.random.default_rng(0)
    text, spans = _text(random, words)
    output, places = _text(random, tokens)
    raw = np.exp(2 * random.standard_normal((tokens, words + 1)))
    weights = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    cuts = np.linspace(0, tokens, sentences + 1).astype(int)
    means = np.add.reduceat(weights, cuts[:-1], axis=0) / np.diff(cuts)[:, None]
    targets = [(places[a][0], places[b - 1][1]) for a, b in pairwise(cuts.tolist())]
    return Explanation(
        id="long",
        created_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        provider="none",
        model="random",
        prompt=PromptRecord(instruction="Summarise.", messages=()),
        sources=(SourceRecord(id="s1", name="record", kind="document", text=text),),
        segments=tuple(Segment(source="s1", kind="word", start=start, end=end) for start, end in spans),
        output=Output(
            text=output,
            given=False,
            finish="stop",
            targets=tuple(Target(start=start, end=end, kind="sentence") for start, end in targets),
            tokens=tuple(OutputToken(start=start, end=end, logprob_nats=-0.25) for start, end in places),
        ),
        results=(
            Result(
                method=MethodRecord(
                    name="attention", family="native_attention", evidence="descriptive", access="weights"
                ),
                scores=Scores(
                    values=tuple(map(tuple, means[:, :-1].tolist())),
                    unit="attention_mass",
                    signed=False,
                    elsewhere=_sink(means),
                ),
                detail=Detail(
                    shape=(tokens, words),
                    values=pack(weights[:, :-1]),
                    tokens=tuple(("s1", start, end) for start, end in spans),
                    elsewhere=_sink(weights),
                ),
                fidelity=Measure(reason="not asked for"),
                groundedness=Measure(reason="not asked for"),
                caveats=("These weights are random.",),
            ),
        ),
        cost=Cost(calls=1, seconds=1.0),
    )


def _text(random: np.random.Generator, words: int) -> tuple[str, list[tuple[int, int]]]:
    """Words of random letters, each with the blank after it, and where they stand."""
    made = ["".join(random.choice(list("aeinrst"), length)) + " " for length in random.integers(2, 9, words)]
    return "".join(made), list(pairwise(accumulate(map(len, made), initial=0)))


def _sink(rows: Any) -> tuple[Elsewhere, ...]:
    return tuple(Elsewhere(sink=sink, total=sink) for sink in rows[:, -1].tolist())
