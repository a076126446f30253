"""What does the viewer cost to look at, beside BertViz and Inspectus on the same tensor?

Headless Chromium; CPU time of the main thread, from the act until the page has come to rest, by the thread's
own clock, which other work on the machine changes little; the median of some rounds, each in a new page.

- record: a record of 2,000 or 16,000 words and an answer of 250 tokens, with token detail: ready; a sentence
  chosen; a passage hovered;
- heads: dense attention of 12 layers x 12 heads: the first picture, from the file's opening on until it is
  drawn; the whole file read; with all heads of a layer another layer, and one head switched off; another
  layer where what is shown is divided by its sum, so that no packed code stands for it; the file's size. Of
  BertViz's head view the first picture and another layer; of Inspectus's charts the first.

A peer that is not installed (`pip install 'whence[bench]' inspectus`) or not done in time is left out, with
the reason. BertViz's page loads its libraries from a CDN: `--libraries` names a node_modules that has them
(`npm install d3@5.7.0 jquery@2.1.4 requirejs@2.3.6`). Needs Chromium, as the viewer's tests do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import peers
from chromium import Measured, opened
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as BrowserError
from rich.progress import track
from synthetic import attention, record, tensor

from whence import Explanation
from whence.explain.render.viewer import to_viewer

MB = 1e6
OUTPUT_TOKENS = 250
TOO_LARGE_MB = 250
"""A page of a peer's that is larger is not made: neither it nor this would get through."""

AIMS: dict[tuple[str, str], float] = {
    ("record 2000", "ready_ms"): 300,
    ("record 2000", "file_mb"): 4,
    ("record 2000", "choose_ms"): 50,
    ("record 2000", "hover_ms"): 16,
    ("record 16000", "ready_ms"): 1500,
    ("heads 512", "first_ms"): 300,
    ("heads 512", "head_ms"): 50,
    ("heads 512", "layer_ms"): 100,
    ("heads 512", "file_mb"): 32,
}
WRONG = "wrong"
"""Requests to a network, and violations of the policy: of ours none."""

Times = dict[str, float]
Look = Callable[[Measured, Path], Times]


def look_at_record(page: Measured, file: Path) -> Times:
    ready = page.cpu(lambda: page.page.goto(file.as_uri(), wait_until="commit"), "html[data-ready]")
    sentences = page.page.locator(".answer [role=option]")
    passages = page.page.locator(".sources [role=option]")
    choose = page.cpu(lambda: sentences.nth(3).dispatch_event("click"))
    hover = page.cpu(lambda: passages.nth(5).dispatch_event("pointerover"))
    return {"ready_ms": ready, "choose_ms": choose, "hover_ms": hover}


def look_at_heads(page: Measured, file: Path) -> Times:
    first, read = page.first_canvas(f"{file.as_uri()}#view=heads", ".heads-said:not(:empty)")
    pickers = {name: page.page.get_by_role("group", name=name, exact=True) for name in ("Layers", "Heads")}
    page.cpu(lambda: pickers["Heads"].get_by_role("button", name="All").dispatch_event("click"))
    layer = page.cpu(lambda: pickers["Layers"].get_by_role("button").nth(4).dispatch_event("click"))
    toggled = {"ctrlKey": True}
    head = page.cpu(lambda: pickers["Heads"].get_by_role("button").nth(5).dispatch_event("click", toggled))
    page.cpu(lambda: page.page.get_by_label("Shares").select_option(index=1))
    divided = page.cpu(lambda: pickers["Layers"].get_by_role("button").nth(7).dispatch_event("click"))
    times = {"first_ms": first, "read_ms": read, "layer_ms": layer, "head_ms": head}
    return times | {"renormalised_layer_ms": divided}


def look_at_bertviz(page: Measured, file: Path) -> Times:
    first = page.first_seen(file.as_uri(), "#vis svg line")
    change = "s => { s.value = '4'; s.dispatchEvent(new Event('change')); }"
    layer = page.cpu(lambda: page.page.locator("#layer").evaluate(change))
    return {"first_ms": first, "layer_ms": layer}


def look_at_inspectus(page: Measured, file: Path) -> Times:
    first = page.first_seen(file.as_uri(), "[id^=id_] > *")
    return {"first_ms": first}


PEERS: dict[str, tuple[Callable[..., str], Look, float]] = {
    # Bytes of the page for each weight, to know before what cannot be.
    "BertViz": (peers.bertviz, look_at_bertviz, 45),
    "Inspectus": (peers.inspectus, look_at_inspectus, 5.4),
}


class Bench:
    """A browser, a folder for pages, and how often and how long to look."""

    def __init__(self, browser: Browser, folder: Path, arguments: argparse.Namespace) -> None:
        self._browser, self._folder, self._arguments = browser, folder, arguments

    def ours(self, what: str, explanation: Explanation, look: Look, rounds: int) -> dict[str, Any]:
        """A row of the viewer's."""
        return self._row(what, "Whence", to_viewer(explanation), look, rounds)

    def peers(self, tokens: int, explanation: Explanation) -> list[dict[str, Any]]:
        """A row of each, or why there is none."""
        weights = tensor(explanation)
        rows: list[dict[str, Any]] = []
        for name, (make, look, bytes_each) in PEERS.items():
            what, size_mb = f"heads {tokens}", weights.size * bytes_each / MB
            try:
                if size_mb > TOO_LARGE_MB:
                    raise ValueError(f"its page would have about {size_mb:,.0f} MB")
                page = make(weights, [f"t{at}" for at in range(tokens)])
                rows.append(self._row(what, name, page, look, min(self._arguments.rounds, 3)))
            except ImportError:
                rows.append({"what": what, "viewer": name, "skipped": "not installed"})
            except (ValueError, TimeoutError, BrowserError) as error:
                rows.append({"what": what, "viewer": name, "skipped": str(error).partition("\n")[0]})
        return rows

    def _row(self, what: str, viewer: str, text: str, look: Look, rounds: int) -> dict[str, Any]:
        file = self._folder / "page.html"
        file.write_text(text, encoding="utf-8")
        looks: list[Times] = []
        wrong: set[str] = set()
        for _ in track(range(rounds), description=f"{what}, {viewer}", disable=not sys.stderr.isatty()):
            with opened(
                self._browser, self._folder, self._arguments.libraries, self._arguments.timeout
            ) as page:
                looks.append(look(page, file))
                wrong.update(page.wrong)
        row: dict[str, Any] = {"what": what, "viewer": viewer, "file_mb": file.stat().st_size / MB}
        for name in looks[0]:
            row[name] = 1000 * statistics.median(times[name] for times in looks)
        return row | {WRONG: sorted(wrong)}


def measure(bench: Bench, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for words in arguments.words:
        given = record(words, OUTPUT_TOKENS)
        rows.append(bench.ours(f"record {words}", given, look_at_record, arguments.rounds))
    for tokens in arguments.tokens:
        given = attention(tokens)
        rows.append(bench.ours(f"heads {tokens}", given, look_at_heads, arguments.rounds))
        rows += bench.peers(tokens, given)
    return rows


def line(row: dict[str, Any]) -> str:
    head = f"{row['what']:13} {row['viewer']:10}"
    if "skipped" in row:
        return f"{head} left out: {row['skipped']}"
    times = "  ".join(f"{name[:-3]} {row[name]:,.0f} ms" for name in row if name.endswith("_ms"))
    asked = len([one for one in row[WRONG] if one.startswith("asks ")])
    other = len(row[WRONG]) - asked
    return f"{head} {row['file_mb']:7.1f} MB  {times}  requests {asked}, errors {other}"


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """The aims that these rows are for and do not reach."""
    ours = {row["what"]: row for row in rows if row["viewer"] == "Whence"}
    over = [
        f"{what} {name} {ours[what][name]:.1f} (aim {aim:g})"
        for (what, name), aim in AIMS.items()
        if what in ours and ours[what][name] > aim
    ]
    return over + [f"{what}: {one}" for what, row in ours.items() for one in row[WRONG]]


def ratio(rows: list[dict[str, Any]]) -> str:
    """The first picture of each peer to ours, at the largest size that it did."""
    first = {(row["viewer"], row["what"]): row["first_ms"] for row in rows if "first_ms" in row}
    told = []
    for name in PEERS:
        done = [what for viewer, what in first if viewer == name and ("Whence", what) in first]
        if done:
            told.append(f"{name} {first[name, done[-1]] / first['Whence', done[-1]]:.1f} at {done[-1]}")
    return ", ".join(told) or "no peer to compare with"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    numbers = partial(lambda text: [int(part) for part in text.split(",") if part])
    parser.add_argument("--words", type=numbers, default=[2000, 16000], help="of the records")
    parser.add_argument("--tokens", type=numbers, default=[64, 128, 512, 1024], help="of the attention")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--timeout", type=float, default=120, help="seconds for each act")
    parser.add_argument("--libraries", type=Path, help="a node_modules with BertViz's libraries")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    arguments = parser.parse_args()
    chromium = (
        os.environ.get("WHENCE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    if chromium is None:
        parser.error("needs Chromium: apt-get install chromium, or set WHENCE_CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        # Without a sandbox, for root in a container has none.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        rows = measure(Bench(browser, Path(folder), arguments), arguments)
        browser.close()
    over = missed(rows)
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(*map(line, rows), sep="\n")
        print("aims missed:", "; ".join(over) or "none")
        print(f"CPU of the first picture, to ours: {ratio(rows)}")
    if arguments.check and over:
        sys.exit(1)


if __name__ == "__main__":
    main()
