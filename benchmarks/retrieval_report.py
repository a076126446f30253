"""Is the retrieval report right, where the truth is known? On synthetic records, answered with their true
summary, by the bundled model; each line of a record is a chunk, and credit is by sentence. For each evidence:

- right: of the chunks that are named for a sentence, the share on which it rests;
- named: of the chunks on which a sentence rests, the share that is named;
- of the sentences that rest on something, how many are said to be supported, not known, and without support,
  which is false; and the same of those that rest on nothing, for which without support is right.

It says what the rules find on these records with this model, and nothing about any other text or model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.progress import track

from whence import Explainer, Message, Source
from whence.api.langchain.report import RetrievalReport, report_of
from whence.api.langchain.retelling import Chunk
from whence.api.langchain.said import Document
from whence.demo.records import PROMPT, Record, generate

FIRST = 1_000_000
"""Seeds from here on are of records that the model was not trained on."""
AIM = 0.98
"""Of the sentences that are said to be without support, the share that is."""
FEW = 8
"""Records for what takes long."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """`few`: only of some records."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    removals: bool = False
    few: bool = False


ROWS = {
    "attention, layer 1": Row(method="attention", options={"layers": 1}),
    "attention, layer 1, with removals": Row(method="attention", options={"layers": 1}, removals=True),
    "attention, all layers": Row(method="attention"),
    "attention, all layers, with removals": Row(method="attention", removals=True),
    "leave one out": Row(method="leave_one_out"),
    "leave one out, with removals": Row(method="leave_one_out", removals=True),
    "lasso": Row(method="lasso"),
    "lasso, with removals": Row(method="lasso", removals=True),
    "shapley": Row(method="shapley", few=True),
    "leave one out by similarity, all together": Row(
        method="leave_one_out", options={"value": "similarity", "groundedness": True}, few=True
    ),
}


@dataclass(kw_only=True)
class Tally:
    """What was found. `verdicts`: (rests on something, what is said of it)."""

    named: int = 0
    true: int = 0
    right: int = 0
    verdicts: Counter[tuple[bool, bool | None]] = field(default_factory=Counter)

    def count(self, report: RetrievalReport, record: Record) -> None:
        """Add a report."""
        for sentence, truth in zip(report.sentences, record.truth, strict=True):
            named = {support.chunk for support in sentence.supports} | set(sentence.loses_without)
            self.named += len(named)
            self.true += len(truth.lines)
            self.right += len(named & truth.lines)
            self.verdicts[bool(truth.lines), sentence.supported] += 1

    def figures(self) -> dict[str, Any]:
        """As they are printed."""
        verdicts = self.verdicts
        return {
            "right": round(self.right / self.named, 3) if self.named else None,
            "named": round(self.right / self.true, 3),
            "rest on something": [verdicts[True, said] for said in (True, None, False)],
            "rest on nothing": [verdicts[False, said] for said in (True, None, False)],
        }


def asked(record: Record) -> tuple[list[Message], list[Chunk]]:
    """The record as the model learned to read it, each line a source."""
    parts: list[str | Source] = ['<source name="record">\n']
    end = 0
    for number, (start, stop) in enumerate(record.spans):
        parts += [record.text[end:start], Source(text=record.text[start:stop], name=f"line {number}")]
        end = stop
    chunks = [
        Chunk(document=Document(text=record.text[slice(*span)]), sources=(number,), coverage=1.0)
        for number, span in enumerate(record.spans)
    ]
    content = (*parts, f"{record.text[end:]}\n</source>\n\n{PROMPT}")
    return [Message(role="user", content=content, verbatim=True)], chunks


def measure(records: int, rows: dict[str, Row]) -> dict[str, Tally]:
    """Of each row what it found."""
    tallies = {name: Tally() for name in rows}
    with Explainer("demo") as explainer:
        for number in track(range(records), "records", disable=not sys.stderr.isatty()):
            record = generate(FIRST + number)
            messages, chunks = asked(record)
            given: dict[str, Any] = {"output": record.summary, "segment_by": "sentence"}
            whole = given | {"method": "leave_one_out", "segment_by": "source", "groundedness": True}
            removals = (
                explainer.explain(messages, **whole) if any(row.removals for row in rows.values()) else None
            )
            made: dict[str, Any] = {}
            for name, row in rows.items():
                if row.few and number >= FEW:
                    continue
                key = repr((row.method, row.options))
                if key not in made:
                    made[key] = explainer.explain(messages, **given, method=row.method, **row.options)
                tallies[name].count(report_of(made[key], chunks, removals if row.removals else None), record)
    return tallies


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=40)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    tallies = measure(arguments.records, {name: ROWS[name] for name in arguments.rows})
    false = sum(tally.verdicts[True, False] for tally in tallies.values())
    said = false + sum(tally.verdicts[False, False] for tally in tallies.values())
    precision = (said - false) / said if said else 1.0
    figures = {name: tally.figures() for name, tally in tallies.items()}
    if arguments.json:
        print(json.dumps({"rows": figures, "without support": said, "false": false}, indent=1))
    else:
        print(f"{'':42} {'right':>6} {'named':>6}   supported / not known / without support")
        for name, own in figures.items():
            right = "" if own["right"] is None else f"{own['right']:.3f}"
            verdicts = " of something, ".join(
                "/".join(map(str, own[f"rest on {k}"])) for k in ("something", "nothing")
            )
            print(f"{name:42} {right:>6} {own['named']:6.3f}   {verdicts} of nothing")
        print(f"without support: {said}, of which {false} are false; ratio {precision / AIM:.3f}")
    if arguments.check and precision < AIM:
        sys.exit(1)


if __name__ == "__main__":
    main()
