"""The same question through the SDK, the command line and HTTP has the same answer, to the last digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx

from whence import Explainer, Explanation, Plan, Source

Run = Callable[..., CompletedProcess[str]]
Ask = Callable[..., httpx.Response]
PROMPT = "Summarise this record."
SAME = ("prompt", "sources", "segments", "output", "results", "provider", "model", "revision")


def written(document: str | bytes) -> dict[str, Any]:
    """What must be the same; numbers as the characters that were written."""
    explanation = json.loads(document, parse_float=str, parse_int=str)
    return {name: explanation[name] for name in SAME}


def test_three_faces_one_answer(demo: Explainer, whence: Run, ask: Ask, tmp_path: Path, record: str) -> None:
    (tmp_path / "note.txt").write_bytes(record.encode())
    done = whence(
        *("explain", "note.txt", "--prompt", PROMPT, "--segment-by", "token", "--detail"),
        *("--layers", "1,3", "--out", "out.json"),
    )
    assert done.returncode == 0
    command_line = written((tmp_path / "out.json").read_bytes())
    sdk = demo.explain(
        PROMPT,
        sources=[Source(text=record, name="note.txt")],
        segment_by="token",
        detail=True,
        layers=[1, 3],
    )
    request: dict[str, Any] = {
        "model": "demo",
        "prompt": PROMPT,
        "sources": [{"text": record, "name": "note.txt"}],
        "segment_by": "token",
        "detail": True,
        "parameters": {"layers": [1, 3]},
    }
    plain = ask(**request)
    streamed = ask(**request, headers={"Accept": "text/event-stream"}).text.rpartition("\ndata: ")[2]
    assert command_line["results"][0]["scores"]["values"]
    assert written(sdk.model_dump_json()) == command_line
    assert written(plain.content) == command_line
    assert written(streamed) == command_line


def test_three_faces_one_answer_of_a_method_that_removes(
    demo: Explainer, inside: Run, ask: Ask, tmp_path: Path, record: str
) -> None:
    (tmp_path / "note.txt").write_bytes(record.encode())
    done = inside(
        *("explain", "note.txt", "--prompt", PROMPT, "--method", "lasso,leave_one_out", "--seed", "3"),
        *("--set", "masks=12", "--set", "stop_early=false", "--budget-calls", "60", "--max-tokens", "40"),
        *("--out", "out.json"),
    )
    assert done.returncode == 0, done.stderr
    command_line = written((tmp_path / "out.json").read_bytes())
    arguments: dict[str, Any] = {"method": ["lasso", "leave_one_out"], "seed": 3, "max_tokens": 40}
    parameters: dict[str, Any] = {"masks": 12, "stop_early": False}
    sdk = demo.explain(
        PROMPT,
        sources=[Source(text=record, name="note.txt")],
        budget={"calls": 60},
        **arguments,
        **parameters,
    )
    request: dict[str, Any] = {
        "model": "demo",
        "prompt": PROMPT,
        "sources": [{"text": record, "name": "note.txt"}],
        "budget": {"calls": 60},
        "parameters": parameters,
        **arguments,
    }
    plain = ask(**request)
    streamed = ask(**request, headers={"Accept": "text/event-stream"}).text.rpartition("\ndata: ")[2]
    assert [result["method"]["family"] for result in command_line["results"]] == ["logprob", "logprob"]
    assert written(sdk.model_dump_json()) == command_line
    assert written(plain.content) == command_line
    assert written(streamed) == command_line
    assert Explanation.model_validate_json(plain.content).cost.calls == sdk.cost.calls <= 60


def test_three_faces_one_plan(demo: Explainer, inside: Run, client: httpx.Client, tmp_path: Path) -> None:
    text = "The patient has asthma. It is mild. She takes salbutamol."
    (tmp_path / "note.txt").write_text(text)
    plan = demo.plan(PROMPT, sources=[Source(text=text, name="note.txt")], method="lasso")
    asked = {
        "model": "demo",
        "prompt": PROMPT,
        "sources": [{"text": text, "name": "note.txt"}],
        "method": "lasso",
    }
    assert Plan.model_validate_json(client.post("/v1/plans", json=asked).content) == plan
    told = inside("explain", "note.txt", "--prompt", PROMPT, "--method", "lasso", "--dry-run").stdout
    total = f"total         {plan.calls} calls, {plan.input_tokens} tokens read, {plan.output_tokens} written"
    assert total in told.splitlines()
