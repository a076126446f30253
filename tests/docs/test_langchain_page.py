"""The page on LangChain: its code runs as it stands there, and finds what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples
from tests.servers.hosting import Server
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_store import TOOLED
from tests.servers.scripts import ToolCall

import whence.api.langchain.report_rules as rules
from whence.api.langchain import ExplanationHandler, Record
from whence.api.langchain.models import OURS
from whence.api.langchain.said import SCORES

PAGE = Path(__file__).parents[2] / "docs" / "langchain.md"
EXAMPLES = [example for example in find_examples(PAGE) if example.prefix == "python"]
CALL = ToolCall(name="read_record", arguments={"name": "Davis"})


@pytest.fixture
def ollama_with_tools(ollama: OllamaServer, machine: Sequence[Server]) -> OllamaServer:
    """Holds the bundled model as `qwen3`, too, which calls the tool of the page."""
    library = ollama.store / "manifests" / "registry.ollama.ai" / "library"
    if not (library / "qwen3").exists():
        (library / "qwen3").symlink_to(library / TOOLED, target_is_directory=True)
    ollama.tool_calls.append(CALL)
    return ollama


def _chain(found: dict[str, Any]) -> None:
    record = _explained(found["handler"])
    assert record.explanation is not None
    assert [source.name for source in record.explanation.sources] == ["user"]
    assert "Follow-up is in the eye clinic in 3 weeks." in record.answer
    assert Path("report.html").stat().st_size > 0


def _retrieval(found: dict[str, Any]) -> None:
    _explained(found["handler"])
    report = found["report"]
    assert [report.chunks[index].name for index in report.not_in_prompt] == ["ward.txt"]
    assert [report.chunks[index].name for index in report.unused] == ["family.txt"]
    rests = {
        sentence.text.strip(): {report.chunks[index].name for index in sentence.loses_without}
        for sentence in report.sentences
        if sentence.supported
    }
    assert rests == {
        "Allergic to penicillin.": {"admission.txt"},
        "Follow-up is in the eye clinic in 3 weeks.": {"discharge.txt"},
    }


def _agent(found: dict[str, Any]) -> None:
    record = _explained(found["handler"])
    assert [message.type for message in found["state"]["messages"]] == ["human", "ai", "tool", "ai"]
    assert record.explanation is not None
    assert [source.name for source in record.explanation.sources] == ["user", CALL.name]
    assert "Follow-up is in the eye clinic in 3 weeks." in record.answer


def _cost(found: dict[str, Any]) -> None:
    record = _explained(found["handler"])
    assert record.explanation is not None
    assert 1 < record.explanation.cost.calls <= 60
    assert "latex" in record.explanation.target_text(4)
    assert "latex" in record.explanation.top(4, 1)[0].text


def _explained(handler: ExplanationHandler) -> Record:
    (record,) = handler.records
    assert record.status == "explained", record.reason
    assert not handler.errors
    return record


FINDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a chain": _chain,
    "retrieval": _retrieval,
    "an agent": _agent,
    "what it may cost": _cost,
}
"""What each piece of code must have found, by its place on the page."""


@pytest.mark.parametrize(
    ("example", "finds"), list(zip(EXAMPLES, FINDS.values(), strict=True)), ids=list(FINDS)
)
def test_the_code_of_the_page_runs(
    example: CodeExample,
    finds: Callable[[dict[str, Any]], None],
    eval_example: EvalExample,
    ollama_with_tools: OllamaServer,
) -> None:
    found = eval_example.run(example)
    finds(found)
    found["llm"]._client.close()  # LangChain leaves it open


def test_the_page_quotes_the_rules() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"at least {rules.ODDS:g} times the odds" in text
    assert rules.LEAST == {"nats": 1.0, "similarity": 0.1}
    assert all(f"`{name}`" in text for name in (*SCORES, *OURS))


def test_links_of_the_page_exist() -> None:
    links = {
        link for link in re.findall(r"\]\(([^)#]+)", PAGE.read_text(encoding="utf-8")) if "://" not in link
    }
    assert links
    assert not {link for link in links if not (PAGE.parent / link).exists()}
