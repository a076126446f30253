"""What goes wrong, as the same error of every adapter."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.adapters import SECRETS
from tests.contract.conftest import Subject
from tests.servers.counting import Counted
from tests.servers.faults import Fault, Kind

from whence import (
    AuthenticationError,
    ContextLengthError,
    CutError,
    EmptyOutputError,
    EmptyPromptError,
    InputError,
    NoSourceError,
    QuotaError,
    RateLimitError,
    RefusedError,
    Source,
    UnavailableError,
    UnknownMethodError,
    UnknownModelError,
    UnsupportedError,
    WhenceError,
)
from whence.demo.records import generate

CONTEXT_TOKENS = 250


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"prompt": "  "}, EmptyPromptError),
        ({"sources": [" \n"]}, NoSourceError),
        ({"sources": []}, NoSourceError),
        ({"output": " "}, EmptyOutputError),
        ({"method": "lime"}, UnknownMethodError),
        ({"method": "lasso", "masks": "many"}, InputError),
        ({"layers": [0]}, InputError),
        ({"segment_by": "token"}, UnsupportedError),
        ({"max_tokens": 0}, InputError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_bad_input_is_an_error_and_the_model_is_asked_nothing(
    subject: Subject, arguments: dict[str, Any], error: type[WhenceError]
) -> None:
    provider = subject.provider()
    with pytest.raises(error):
        subject.explain(provider, **arguments)
    if subject.adapter.name != "demo":
        assert subject.counted(provider)[0] == 0


@pytest.mark.parametrize(
    "kind", ["rate_limit", "server_error", "overloaded", "cut_connection", "malformed_json"]
)
def test_what_passes_is_asked_again_and_every_attempt_is_counted(
    served: tuple[Subject, Counted], kind: Kind
) -> None:
    subject, server = served
    server.faults.extend([None, Fault(kind=kind, retry_after_seconds=0.05)])
    provider = subject.provider()
    e = subject.explain(provider)
    calls, read, wrote = subject.counted(provider)
    assert (e.cost.calls, e.cost.input_tokens, e.cost.output_tokens) == (calls, read, wrote)
    assert not server.faults


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("rate_limit", RateLimitError),
        ("overloaded", UnavailableError),
        ("wrong_key", AuthenticationError),
        ("quota", QuotaError),
        ("context_length", ContextLengthError),
        ("refusal", RefusedError),
        ("no_text", EmptyOutputError),
        ("max_tokens", CutError),
        ("thinking_only", CutError),
    ],
)
def test_what_stays_is_an_error_of_its_kind(
    served: tuple[Subject, Counted], kind: Kind, error: type[WhenceError]
) -> None:
    subject, server = served
    server.faults.extend([Fault(kind=kind, retry_after_seconds=60.0)] * 40)
    with pytest.raises(error) as caught:
        subject.explain(subject.provider(deadline_seconds=1.0))
    if kind in ("rate_limit", "overloaded", "wrong_key", "quota"):
        assert caught.value.__cause__ is not None, "the provider's own error"
    shown = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize("kind", ["refusal", "max_tokens"])
def test_a_removal_that_is_refused_or_cut_is_no_score(served: tuple[Subject, Counted], kind: Kind) -> None:
    subject, server = served
    provider = subject.provider(max_in_flight=1)
    subject.explain(provider)  # whatever it finds out by asking, it knows from now on
    calls = subject.explain(provider).cost.calls
    server.forget()
    server.faults.extend([None] * (calls - 2) + [Fault(kind=kind)])
    e = subject.explain(provider)
    counted = subject.counted(provider)
    assert (e.cost.calls, e.cost.input_tokens, e.cost.output_tokens) == counted
    similarity = e.results[-1]
    assert {segment for _, segment in similarity.scores.unmeasured} == {2}
    assert any("1 of 7 answers to shortened records were refused" in c for c in similarity.caveats)
    server.faults.extend([None] * (calls - 2) + [Fault(kind=kind)])
    with pytest.raises((RefusedError, CutError)):
        subject.explain(provider, method="shapley", permutations=2)


def test_a_message_that_repeats_the_key_does_not_repeat_it_here(served: tuple[Subject, Counted]) -> None:
    subject, server = served
    server.faults.extend([Fault(kind="echo_key")] * 9)
    with pytest.raises(WhenceError) as caught:
        subject.explain(subject.provider(deadline_seconds=1.0))
    shown = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in SECRETS if secret in shown]


def test_an_unknown_model_is_said_before_anything_is_paid(served: tuple[Subject, Counted]) -> None:
    subject, server = served
    with pytest.raises(UnknownModelError, match="no-such-model"):
        subject.explain(subject.provider(model="no-such-model"))
    assert server.input_tokens == 0


def test_what_is_too_long_can_be_shortened_when_asked_to(served: tuple[Subject, Counted]) -> None:
    own, server = served
    sources = [Source(text=generate(1, sentences=30).text, name="note")]
    with type(server)(context_tokens=CONTEXT_TOKENS) as small:  # type: ignore[call-arg]
        subject = replace(own, server=small)
        with pytest.raises(ContextLengthError) as caught:
            subject.explain(sources=sources, method="lasso", masks=8, max_tokens=80)
        assert caught.value.tokens > caught.value.limit_tokens
        e = subject.explain(sources=sources, method="lasso", masks=8, max_tokens=80, truncate=True)
    assert any("did not read all of 'note'" in caveat for caveat in e.results[0].caveats)
