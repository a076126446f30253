"""The long table: one row for each result, target and segment. (`table`, not `csv`: that name is taken.)"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from whence.explain.schema import Explanation, Segment

COLUMNS = (
    "result",
    "method",
    "evidence",
    "unit",
    "target",
    "target_start",
    "target_end",
    "target_text",
    "source_id",
    "source_name",
    "segment",
    "segment_start",
    "segment_end",
    "segment_box",
    "segment_text",
    "score",
    "measured",
    "stderr",
    "within_noise",
    "removed_alone",
    "share",
    "elsewhere_share",
    "caveats",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # OWASP, "CSV Injection"
_APOSTROPHE = "'"


def to_csv(explanation: Explanation) -> str:
    """All scores as RFC 4180: a header row, lines that end in CR LF, to be written in UTF-8.

    `result`, `target` and `segment` count from 0, offsets are code points, `score` is in `unit`, `share` and
    `elsewhere_share` are parts of 1 (see `Explanation.shares`). `segment_box` is for regions of images:
    left, top, right, bottom in pixels. `stderr` and `removed_alone` (what removing this segment alone did)
    are in `unit`, and empty where unknown; `measured` says whether the score is known at all, `within_noise`
    that chance may explain it. `caveats` stand in the first row of each target.

    Texts are kept as they are, with one exception: a spreadsheet runs a cell that starts with = + - @, a
    tab or a line end as a formula, so such a text gets a leading apostrophe, and so does one that starts
    with an apostrophe. To get the text back, drop one apostrophe from the start of a text cell.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for result in range(len(explanation.results)):
        writer.writerows(_rows(explanation, result))
    return buffer.getvalue()


def _rows(explanation: Explanation, index: int) -> Iterator[tuple[object, ...]]:
    result = explanation.results[index]
    shares = explanation.shares(index)
    elsewhere = (1 - shares.sum(axis=1)).clip(0, 1).tolist()
    method = (index, _text(result.method.name), result.method.evidence, result.scores.unit)
    caveats = _text(" ".join(result.caveats))
    segments = _segment_cells(explanation)
    stderr, within = result.scores.stderr, explanation.within_noise(index)
    unmeasured = set(result.scores.unmeasured)
    alone = {(item.target, item.segment): item.effect for item in result.confirmations}
    for number, target in enumerate(explanation.output.targets):
        target_cells = (number, target.start, target.end, _text(explanation.target_text(number)))
        row = zip(segments, result.scores.values[number], shares[number].tolist(), strict=True)
        for position, (segment_cells, score, share) in enumerate(row):
            yield (
                *method,
                *target_cells,
                *segment_cells,
                score,
                "no" if (number, position) in unmeasured else "yes",
                "" if stderr is None else stderr[number][position],
                "yes" if within[number, position] else "no",
                alone.get((number, position), ""),
                share,
                elsewhere[number],
                "" if position else caveats,
            )


def _segment_cells(explanation: Explanation) -> list[tuple[object, ...]]:
    """The cells of each segment, made once for all targets."""
    sources = {source.id: source for source in explanation.sources}
    return [
        (
            _text(segment.source),
            _text(sources[segment.source].name),
            number,
            segment.start,
            segment.end,
            _box(segment),
            _text((sources[segment.source].text or "")[segment.start : segment.end]),
        )
        for number, segment in enumerate(explanation.segments)
    ]


def _box(segment: Segment) -> str:
    return " ".join(map(str, segment.box)) if segment.box is not None else ""


def _text(text: str) -> str:
    return _APOSTROPHE + text if text.startswith((*_FORMULA, _APOSTROPHE)) else text
