"""The long table."""

import csv
import io
from collections.abc import Callable

import numpy as np
import pytest

from whence.explain.render.table import COLUMNS, to_csv
from whence.explain.schema import Explanation, Segment, SourceRecord


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_score_and_share_comes_back_equal(compared: Explanation) -> None:
    rows = read(to_csv(compared))
    targets, segments = len(compared.output.targets), len(compared.segments)
    assert len(rows) == 2 * targets * segments
    for result in range(2):
        own = [row for row in rows if row["result"] == str(result)]
        scores = np.array([float(row["score"]) for row in own], dtype=np.float32).reshape(targets, segments)
        shares = np.array([float(row["share"]) for row in own]).reshape(targets, segments)
        assert (scores == compared.matrix(result)).all()
        assert (shares == compared.shares(result)).all()
        outside = np.array([float(row["elsewhere_share"]) for row in own]).reshape(targets, segments)
        assert np.allclose(shares.sum(axis=1) + outside[:, 0], 1)


def test_rows_say_what_they_are_about(compared: Explanation) -> None:
    rows = read(to_csv(compared))
    segments = len(compared.segments)
    for index, row in enumerate(rows):
        target, segment = divmod(index % (len(rows) // 2), segments)
        assert row["target_text"] == compared.target_text(target)
        assert row["segment_text"] == compared.segment_text(segment)
        assert int(row["target_start"]) == compared.output.targets[target].start
        assert int(row["segment_end"]) == compared.segments[segment].end
        assert (row["source_id"], row["source_name"]) == ("s0", "admission note")
        assert bool(row["caveats"]) == (segment == 0)
    assert [rows[0][name] for name in ("method", "evidence", "unit")] == [
        "attention",
        "descriptive",
        "attention_mass",
    ]
    assert [rows[-1][name] for name in ("method", "evidence", "unit")] == ["leave-one-out", "causal", "nats"]


def test_lines_end_as_rfc_4180_says(compared: Explanation) -> None:
    text = to_csv(compared)
    assert text.startswith(",".join(COLUMNS) + "\r\n")
    assert text.endswith("\r\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "'"])
def test_no_text_is_a_formula_and_every_text_comes_back(
    start: str, filled: Callable[[str], Explanation]
) -> None:
    text = f'{start}cmd|"x",\ny'
    row = read(to_csv(filled(text)))[0]
    for column in ("method", "target_text", "source_name", "segment_text", "caveats"):
        assert row[column] == f"'{text}"


def test_hostile_text_is_kept_as_it_is(hostile: str, filled: Callable[[str], Explanation]) -> None:
    row = read(to_csv(filled(hostile)))[0]
    for column in ("target_text", "source_name", "segment_text"):
        assert row[column].removeprefix("'") == hostile


def test_negative_scores_stay_numbers(compared: Explanation) -> None:
    scores = [row["score"] for row in read(to_csv(compared))]
    assert any(score.startswith("-") for score in scores)


def test_a_region_has_a_box_and_no_offsets(build: Callable[..., Explanation]) -> None:
    image = SourceRecord(id="s0", name="X-ray", kind="image", media_type="image/png", sha256="ab")
    region = Segment(source="s0", kind="region", box=(1, 2, 3, 4))
    (row,) = read(to_csv(build(sources=(image,), segments=(region,), values=[[0.5]])))
    assert (row["segment_box"], row["segment_start"], row["segment_text"]) == ("1 2 3 4", "", "")
