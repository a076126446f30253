"""Is the bundled model's truth true? On unseen synthetic records:

- exact: the share of summary sentences that are written exactly right;
- swap: a fact is changed in its source; the share of tries in which the summary changes accordingly, so
  that the sentence does rest on that source;
- recall@max(3, true): of the true sentences of the record, the share among the best 3 segments (or as many
  as are true, if more) of plain mean attention, over the sentences that were written right; also of each
  layer alone, and of the other ways to read attention.

It says what the model does on synthetic records, and nothing about any other model or text.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from statistics import mean
from typing import Any

from rich.progress import track

from whence import Explainer, Explanation, Source
from whence.demo.records import FACTS, PROMPT, Record, Support, generate

AIM = 0.95
LAYERS = 4
OTHER_METHODS = ("attention_rollout", "attention_value_weighted")


def explain(explainer: Explainer, record: Record, method: str = "attention", **arguments: Any) -> Explanation:
    sources = [Source(text=record.text, name="record")]
    return explainer.explain(PROMPT, sources=sources, method=method, **arguments)


def sentences(explanation: Explanation) -> list[str]:
    return [explanation.target_text(i).strip() for i in range(len(explanation.output.targets))]


def right(explanation: Explanation, record: Record) -> list[bool]:
    """For each true sentence, whether the summary has it in its place."""
    written = sentences(explanation)
    return [i < len(written) and written[i] == s.text for i, s in enumerate(record.truth)]


def swap(record: Record, rng: random.Random) -> tuple[Record, int]:
    """Change one fact that the record states; and the sentence of the summary that says it."""
    said = [(i, fact) for i, support in enumerate(record.truth) for fact in support.facts]
    index, fact = rng.choice(said)
    values = [value for value in FACTS[fact] if value not in record.facts.values()]
    return record.swapped(fact, rng.choice(values)), index


def recall(explanation: Explanation, index: int, support: Support) -> float:
    k = max(3, len(support.lines))
    best = explanation.matrix()[index].argsort()[::-1][:k]
    return len(support.lines & set(best.tolist())) / len(support.lines)


def measure(records: int) -> dict[str, float]:
    rng = random.Random(0)
    exact: list[bool] = []
    followed: list[bool] = []
    recalls: dict[str, list[float]] = defaultdict(list)
    with Explainer("demo") as explainer:
        for seed in track(range(records), description="records", disable=not sys.stderr.isatty()):
            record = generate(seed)
            explanation = explain(explainer, record)
            correct = right(explanation, record)
            exact += correct
            output = explanation.output.text
            otherwise = {
                f"layer_{layer}": explain(explainer, record, output=output, layers=layer)
                for layer in range(LAYERS)
            } | {name: explain(explainer, record, name, output=output) for name in OTHER_METHODS}
            for index, support in enumerate(record.truth):
                if correct[index] and support.lines:
                    found = recall(explanation, index, support)
                    recalls[support.kind].append(found)
                    recalls["all"].append(found)
                    recalls["by_chance"].append(max(3, len(support.lines)) / len(record.lines))
                    for name, other in otherwise.items():
                        recalls[name].append(recall(other, index, support))
            swapped, index = swap(record, rng)
            followed.append(right(explain(explainer, swapped), swapped)[index])
    figures = {"records": records, "exact": mean(exact), "swap": mean(followed)}
    return figures | {f"recall_{name}": mean(values) for name, values in sorted(recalls.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    arguments = parser.parse_args()
    figures = measure(arguments.records)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:.3f}" if isinstance(value, float) else f"{name:32} {value}")
        print(f"exact / aim {figures['exact'] / AIM:.3f}, swap / aim {figures['swap'] / AIM:.3f}")
    if arguments.check and min(figures["exact"], figures["swap"]) < AIM:
        sys.exit(1)


if __name__ == "__main__":
    main()
