"""schemathesis asks what the OpenAPI document allows, and what it does not: no error is unhandled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from tests.api.server.conftest import PATIENCE_SECONDS, Server, Start

EXAMPLES = 60


@pytest.fixture(scope="module")
def single(start: Start) -> Server:
    """With one model, which need not be named: what is guessed reaches it."""
    return start('[server]\nlog_level = "debug"\n[models.fake]\nprovider = "fake"\nmax_waiting = 100\n')


@pytest.fixture(scope="module")
def schema(single: Server) -> Any:
    """The document of that server."""
    read = schemathesis.openapi.from_url(f"{single.url}/openapi.json")
    # A text can be what the document allows and still be nothing to explain: blank, or longer than the model.
    read.config.checks.positive_data_acceptance.enabled = False
    return read


def reach_the_model(body: dict[str, Any]) -> None:
    """Names of models are hardly guessed, and blank texts are refused: half of the requests go further."""
    if len(str(body)) % 2:
        body |= {"model": "fake", "method": "auto", "parameters": {}, "prompt": "Do.", "sources": ["alpha"]}


def ask(operation: Any, asked: Counter[str]) -> None:
    """Make up requests for one operation, and count the statuses of their answers."""

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(case=operation.as_strategy())
    def explore(case: Any) -> None:
        if case.meta.generation.mode.is_positive and isinstance(case.body, dict):
            reach_the_model(case.body)
        response = case.call_and_validate(timeout=PATIENCE_SECONDS)
        assert response.status_code < 500
        asked[f"{operation.label} {response.status_code}"] += 1

    explore()


def test_no_request_ends_in_an_unhandled_error(schema: Any, single: Server) -> None:
    asked: Counter[str] = Counter()
    for operation in schema.get_all_operations():
        ask(operation.ok(), asked)
    assert asked["POST /v1/explanations 200"], asked
    assert asked["POST /v1/explanations 422"], asked
    assert asked["POST /v1/plans 200"], asked
    assert asked["POST /v1/plans 422"], asked
    assert {label.split()[1] for label in asked} == set(schema.raw_schema["paths"])
    assert not [line for line in single.lines if line["level"] == "error"]
