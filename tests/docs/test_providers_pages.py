"""The pages on providers: their code runs as it stands there, and their tables say what the providers can.

WRITE_TABLES=1 in the environment writes the tables anew.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples
from tests.contract.adapters import ADAPTERS, Adapter
from tests.servers.hosting import Server

import whence
from whence import FakeProvider, UnavailableError
from whence.explain.plan import serves
from whence.providers.base import Capabilities, Provider
from whence.providers.prompt import build_prompt

PAGES = Path(__file__).parents[2] / "docs" / "providers"
INDEX = PAGES / "README.md"
ALL_PAGES = sorted(PAGES.glob("*.md"))
EXAMPLES = [example for example in find_examples(PAGES) if example.prefix == "python"]
UNITS = {
    "claude": [["similarity", "claim"], ["similarity", "claim"]],
    "vertex": [["similarity", "nats"]],
    "huggingface": [["attention_mass", "nats"]],
    "ollama": [["attention_mass", "nats"], ["nats"]],
    "fake": [["similarity", "claim"]],
}
"""Of the results that the code of each page gives, in its order."""
ELSEWHERE = "-on-aimock"
"""Somebody else's server, which is not on every machine, and tells nothing more of an adapter."""
ASKED = ("claude", "vertex", "ollama")

BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"
HOW = "WRITE_TABLES=1 .venv/bin/pytest tests/docs -k tables"


@dataclass(frozen=True)
class Seen:
    """A provider of the contract at one moment. `page`: that tells of it."""

    name: str
    page: str
    provider: Provider
    capabilities: Capabilities

    def cells(self) -> list[str]:
        return [tell(self.provider, self.capabilities) for tell in TELLS.values()]


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


TELLS: dict[str, Callable[[Provider, Capabilities], str]] = {
    "access": lambda _, can: can.access,
    "native attention": lambda _, can: _yes(can.attends),
    "log-probabilities of a given output": lambda _, can: _yes(can.scores),
    "log-probabilities of its own words": lambda _, can: _yes(can.writes_logprobs),
    "citations": lambda _, can: _yes(can.cites),
    "counts tokens for nothing": lambda _, can: _yes(can.counts),
    "tells its context": lambda _, can: _yes(can.context_tokens is not None),
    "calls at once": lambda _, can: str(can.max_in_flight),
    "deterministic": lambda _, can: _yes(can.deterministic),
    "metered": lambda _, can: _yes(can.metered),
    "methods": lambda _, can: ", ".join(f"`{name}`" for name in serves(can)),
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.path.stem}-{example.start_line}")
def test_the_code_of_a_page_runs(
    example: CodeExample, eval_example: EvalExample, machine: Sequence[Server]
) -> None:
    e = eval_example.run(example)["e"]
    page = [own.start_line for own in EXAMPLES if own.path == example.path]
    units = [result.scores.unit for result in e.results]
    assert e.provider == example.path.stem
    assert units == UNITS[e.provider][page.index(example.start_line)]
    answered = sum(server.calls for server in machine)
    if e.provider == "ollama" and "attention_mass" in units:  # it writes and counts; all else is done here
        assert 0 < answered < e.cost.calls
    else:
        assert answered == (e.cost.calls if e.provider in ASKED else 0)


def test_the_tables_say_what_the_providers_can() -> None:
    seen = asyncio.run(_observed())
    right = {INDEX: _by_row(seen)}
    for name in dict.fromkeys(own.page for own in seen):
        right[PAGES / f"{name}.md"] = _by_column([own for own in seen if own.page == name])
    if os.environ.get("WRITE_TABLES"):
        for page, table in right.items():
            before, _, after = _parts(page)
            page.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
    wrong = {page.name: table for page, table in right.items() if _parts(page)[1] != table}
    shown = "\n".join(f"{name}, between the markers:\n{table}" for name, table in wrong.items())
    assert not wrong, f"the tables must be these; {HOW} writes them.\n{shown}"


def test_every_provider_of_the_pages_has_code_to_run() -> None:
    assert {example.path for example in EXAMPLES} == {*ALL_PAGES} - {INDEX}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)
def test_links_and_errors_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link}
    assert not {link for link in links if not (PAGES / link).exists()}
    assert links
    assert set(re.findall(r"`(\w+Error)`", text)) <= set(whence.__all__)


async def _observed() -> list[Seen]:
    """Every provider of the contract; twice, where an answer shows that it can less than it said."""
    seen: list[Seen] = []
    with ExitStack() as stack:
        servers: dict[Any, Server] = {}
        for adapter in ADAPTERS:
            if adapter.name.endswith(ELSEWHERE):
                continue
            if adapter.serve is not None and adapter.serve not in servers:
                servers[adapter.serve] = stack.enter_context(adapter.serve())
            provider = adapter.make(servers.get(adapter.serve))
            if isinstance(provider, FakeProvider):
                provider.prices = None  # the contract gives it some, and nothing else makes it metered
            first = await provider.capabilities()
            await _ask(provider, adapter)
            then = await provider.capabilities()
            name = f"`{adapter.name}`"
            if then == first:
                seen.append(Seen(name, provider.name, provider, first))
            else:
                seen.append(Seen(f"{name}, at first", provider.name, provider, first))
                seen.append(Seen(f"{name}, once asked", provider.name, provider, then))
    return seen


async def _ask(provider: Provider, adapter: Adapter) -> None:
    with suppress(UnavailableError):  # it will answer when it is asked again
        await provider.generate(build_prompt(adapter.prompt, sources=[adapter.source]), max_tokens=8, seed=0)


def _by_row(seen: Sequence[Seen]) -> str:
    """The table of all: a row for each."""
    rows = [["provider", *TELLS], ["---"] * (len(TELLS) + 1)]
    return _table([*rows, *([f"[{own.name}]({own.page}.md)", *own.cells()] for own in seen)])


def _by_column(seen: Sequence[Seen]) -> str:
    """The table of a page: a column for each."""
    rows = zip(TELLS, *(own.cells() for own in seen), strict=True)
    return _table([["", *(own.name for own in seen)], ["---"] * (len(seen) + 1), *map(list, rows)])


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _parts(page: Path) -> tuple[str, str, str]:
    """What stands before the table of a page, the table, and what follows it."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    table, end, after = rest.partition(END)
    assert begin, f"{page.name} has no {BEGIN.strip()}"
    assert end, f"{page.name} has no {END}"
    return before, table, after
