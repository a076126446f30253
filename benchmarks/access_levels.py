"""What each level of access can find: the bundled model on unseen records, seen in these ways.

- weights: its attention, read in each way;
- logprob: only the log-probability of a given output, by each design of ablations;
- text: only what it writes, with and without the noise of sampling, by each design;
- claude, gemini: an answer of its own over the wire, through the real SDKs, from servers in this process that
  speak as these APIs do. claude tells its citations, too, and gemini 2.5 the log-probabilities of its own
  words, for which the calls of one explanation give two rows: nats, up to the first word that differs, and
  similarity. For each explanation the calls and tokens must be those that the server counted;
- ollama: likewise, over its wire format: the log-probability of a given output, which the model is made to
  write as a JSON string; of an Ollama too old for that (0.12.10) only texts; and the attention of the very
  file in its store, by the type of its weights: the server writes the answer, and this process reads it.

best: the share of targets whose best segment is true; recall: of the true segments, the share among the best
3 (or as many as are true, if more). What is not cited, or could not be measured, is not found; of what is
cited the first is the best; a target without any is missed in both. calls and CPU seconds: of one
explanation, on average; no seconds over the wire, where the server computes, too, and remembers. cut: answers
to shortened records that did not end, all together; they are left out, and this model never ends what it
writes of an empty record. The number after a design is its budget in calls, all of them counted. records:
those that were explained, and not those with more segments than the budget allows, or where a design needs an
answer that was cut, as shapley by text does for nearly every one.

It says what these methods find in one small model and made-up records, and nothing about other models or
text.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from statistics import mean
from typing import Any

import numpy as np
import torch
from over_the_wire import BLOBS, UNTOLD, MiscountError, apis
from rich.console import Console
from rich.progress import track
from rich.table import Table
from text_only import TextOnly

from whence import Explainer, Explanation, Source
from whence.demo.provider import load
from whence.demo.records import PROMPT, Record, generate
from whence.providers.errors import BudgetError, CutError
from whence.providers.huggingface import HuggingFace

AIMS = {"logprob lasso 64": 0.95, "text lasso 64": 0.90}
CALLS = (32, 64, 128)
LOCAL = {"logprob": "weights", "text": "text", "text with noise": "text with noise"}
"""Where ablations are measured in this process: the explainer for each."""
APIS = {
    "claude": ("",),
    "gemini 2.5": (" nats", " similarity"),
    "gemini 3.5": ("",),
    "ollama": ("",),
    f"ollama {UNTOLD}": ("",),
}
"""Over the wire: what each result of one explanation is called."""
ATTENTION = {"method": "attention"}
TEMPERATURE = 1.0
LONGEST_ANSWER_TOKENS = 128
LEFT_OUT = re.compile(r"(\d+) of \d+ answers to shortened records")
"""The caveat of a result that did without some answers."""


@dataclass
class Row:
    """One way to look: what it found over the records."""

    best: list[bool] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)

    def add(self, explanation: Explanation, result: int, record: Record) -> None:
        """Count what one result found, over the sentences that were written right."""
        matrix = explanation.matrix(result)
        scores, caveats = explanation.results[result].scores, explanation.results[result].caveats
        silent = matrix == 0 if scores.unit == "claim" else np.zeros_like(matrix, dtype=bool)
        for cell in scores.unmeasured:
            silent[cell] = True
        self.calls.append(explanation.cost.calls)
        self.cut += [int(number) for caveat in caveats for number in LEFT_OUT.findall(caveat)]
        for index, support in enumerate(record.truth):
            written = explanation.target_text(index).strip() if index < len(matrix) else ""
            if not support.lines or written != support.text:
                continue
            order = [s for s in np.argsort(-matrix[index], kind="stable").tolist() if not silent[index, s]]
            k = max(3, len(support.lines))
            self.best.append(bool(order) and order[0] in support.lines)
            self.recall.append(len(support.lines & set(order[:k])) / len(support.lines))

    def figures(self) -> dict[str, float | None]:
        """The means; None where there is nothing."""
        return {
            "best": mean(self.best) if self.best else None,
            "recall": mean(self.recall) if self.recall else None,
            "calls": mean(self.calls) if self.calls else None,
            "cpu_seconds": mean(self.seconds) if self.seconds else None,
            "cut": sum(self.cut),
            "records": len(self.calls),
        }


@dataclass(frozen=True, kw_only=True)
class Way:
    """One explanation: by which explainer, with which arguments, and the row of each of its results."""

    explainer: str
    rows: tuple[str, ...]
    arguments: dict[str, Any]


def merged(rows: Sequence[Row]) -> Row:
    """The rows of several processes as one."""
    return Row(*([item for row in rows for item in getattr(row, f.name)] for f in fields(Row)))


def designs() -> dict[str, dict[str, Any]]:
    """The arguments of each design of ablations, by its name."""
    found: dict[str, dict[str, Any]] = {"leave_one_out": {"method": "leave_one_out"}}
    for calls in CALLS:
        budget = {"budget": {"calls": calls}, "stop_early": False}
        found[f"lasso {calls}"] = budget | {"method": "lasso", "masks": calls}
        found[f"shapley {calls}"] = budget | {"method": "shapley", "permutations": calls}
    return found | {"lasso by default": {"method": "lasso"}}


def ways(wanted: Sequence[str] = ()) -> list[Way]:
    """All, or those with a row whose name has one of the wanted parts."""
    found = [
        Way(explainer="weights", rows=(f"weights {name}",), arguments={"method": name})
        for name in ("attention", "attention_rollout", "attention_value_weighted")
    ]
    for access, explainer in LOCAL.items():
        found += [
            Way(explainer=explainer, rows=(f"{access} {design}",), arguments=arguments)
            for design, arguments in designs().items()
        ]
    found.append(Way(explainer="claude", rows=("claude citations",), arguments={"method": "citations"}))
    found += [
        Way(
            explainer=f"ollama weights {kind}",
            rows=(f"ollama weights {kind} attention",),
            arguments=ATTENTION,
        )
        for kind in BLOBS
    ]
    for api, results in APIS.items():
        found += [
            Way(
                explainer=api,
                rows=tuple(f"{api} {design}{result}" for result in results),
                arguments=designs()[design],
            )
            for design in ("leave_one_out", "lasso 64")
        ]
    return [way for way in found if not wanted or any(part in row for part in wanted for row in way.rows)]


def measure(seeds: Sequence[int], wanted: Sequence[str]) -> tuple[dict[str, Row], int]:
    """Every way on the records of these seeds, and how many explanations were held against a server's count.

    Raises MiscountError.
    """
    torch.set_num_threads(1)
    provider = load()
    loaded = provider_parts(provider)
    walls = {
        "text": TextOnly(*loaded, temperature=0),
        "text with noise": TextOnly(*loaded, temperature=TEMPERATURE),
    }
    rows: dict[str, Row] = defaultdict(Row)
    with apis() as wires:
        explainers = {"weights": Explainer(provider), **wires}
        explainers |= {name: Explainer(wall) for name, wall in walls.items()}
        for seed in track(seeds, description="records", disable=not sys.stderr.isatty()):
            record = generate(seed)
            sources = [Source(text=record.text, name="record")]
            output = explainers["weights"].explain(PROMPT, sources=sources, method="attention").output.text
            for wall in walls.values():
                wall.forget()
            for way in ways(wanted):
                given = {} if way.explainer in wires else {"output": output}
                began = time.process_time() + sum(wall.saved_seconds for wall in walls.values())
                try:
                    explanation = explainers[way.explainer].explain(
                        PROMPT,
                        sources=sources,
                        max_tokens=LONGEST_ANSWER_TOKENS,
                        **given,
                        **way.arguments,
                    )
                except (BudgetError, CutError):
                    continue
                ended = time.process_time() + sum(wall.saved_seconds for wall in walls.values())
                units = [result.scores.unit for result in explanation.results]
                for name in way.rows:
                    unit = name.rpartition(" ")[2]  # of two results; which comes first depends on the design
                    rows[name].add(explanation, units.index(unit) if unit in units else 0, record)
                    if way.explainer not in wires:
                        rows[name].seconds.append(ended - began)
        return dict(rows), sum(wire.compared for wire in wires.values())


def provider_parts(provider: HuggingFace) -> tuple[Any, Any]:
    """The model and the tokenizer of a provider."""
    explainer = Explainer(provider)
    sources = ["The patient is allergic to latex. It is raining."]
    # So that nobody pays for what is imported late.
    explainer.explain(PROMPT, sources=sources, max_tokens=9, method=["attention", "lasso"])
    return provider._loaded.model, provider._loaded.tokenizer


def show(figures: dict[str, dict[str, float | None]], compared: int) -> None:
    formats = {
        "best": ".3f",
        "recall": ".3f",
        "calls": ".1f",
        "cpu_seconds": ".2f",
        "cut": "d",
        "records": "d",
    }
    titles = ("access and method", "best is true", "recall", "calls", "CPU s", "cut", "records")
    table = Table(*titles, box=None)
    for name, row in figures.items():
        cells = ("" if row[key] is None else format(row[key], form) for key, form in formats.items())
        table.add_row(name, *cells)
    Console(width=100).print(table)
    if compared:
        print(f"{compared} explanations over the wire count the calls and tokens that the server counted.")
    for name, value in reached(figures).items():
        aim = AIMS[name]
        print(f"{name}: {value:.3f}, the lower of best and recall / aim {aim} = {value / aim:.3f}")


def reached(figures: dict[str, dict[str, float | None]]) -> dict[str, float]:
    """Where there is an aim: the lower of best and recall, of what was measured."""
    return {n: min(figures[n]["best"] or 0.0, figures[n]["recall"] or 0.0) for n in AIMS if n in figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the records")
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[],
        help="only rows with one of these in their name, and what comes with them: --rows claude gemini",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    arguments = parser.parse_args()
    names = [name for way in ways(arguments.rows) for name in way.rows]
    if not names:
        parser.error(f"no row has one of {arguments.rows} in its name")
    shares = [range(start, arguments.records, arguments.workers) for start in range(arguments.workers)]
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        try:
            parts = list(pool.map(measure, shares, [arguments.rows] * len(shares)))
        except MiscountError as error:
            sys.exit(str(error))
    rows = {name: merged([part[name] for part, _ in parts if name in part]) for name in names}
    figures = {name: row.figures() for name, row in rows.items()}
    compared = sum(number for _, number in parts)
    if arguments.json:
        print(json.dumps({"rows": figures, "compared_explanations": compared}))
    else:
        show(figures, compared)
    if arguments.check and any(value < AIMS[name] for name, value in reached(figures).items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
