"""What a provider can, compared with what a method needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from whence import Explainer
from whence.explain.methods import METHODS, get_method
from whence.explain.methods.base import Finding, Task
from whence.explain.plan import choose, serves
from whence.explain.result import Fallback
from whence.providers.base import Access, Capabilities
from whence.providers.errors import UnknownMethodError, UnsupportedError
from whence.providers.fake import FakeProvider

WEIGHTS = Capabilities(access="weights", attends=True, scores=True)
LOGPROBS = Capabilities(access="logprobs", scores=True)
TEXT = Capabilities(access="text")
ATTENTION = ("attention", "attention_rollout", "attention_value_weighted")


class Scoring:
    """A method that needs log-probabilities and was never written."""

    name = "scoring"
    parameters: frozenset[str] = frozenset()

    def lacks(self, capabilities: Capabilities) -> str | None:
        return None if capabilities.scores else f"needs logprobs; this provider gives {capabilities.access}"

    def check(self, parameters: Mapping[str, object], capabilities: Capabilities) -> None:
        pass

    async def run(self, task: Task) -> Finding:
        raise NotImplementedError


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "scoring", f"{__name__}:Scoring")


def test_auto_takes_attention_where_weights_are_seen() -> None:
    choice = choose("auto", WEIGHTS, provider="fake")
    assert choice.method.name == "attention"
    assert choice.fallbacks == ()


def test_a_method_asked_for_by_name_is_taken() -> None:
    choice = choose("attention", WEIGHTS, provider="fake")
    assert choice.method.name == "attention"
    assert choice.fallbacks == ()


@pytest.mark.usefixtures("scoring")
def test_auto_records_what_it_passed_over_and_why() -> None:
    choice = choose("auto", LOGPROBS, provider="fake")
    assert choice.method.name == "scoring"
    assert choice.fallbacks == tuple(
        Fallback(method=name, reason="needs weights; this provider gives logprobs") for name in ATTENTION
    )
    assert choose("auto", WEIGHTS, provider="fake").method.name == "attention"


@pytest.mark.usefixtures("scoring")
def test_what_cannot_be_served_is_refused_with_what_can() -> None:
    with pytest.raises(UnsupportedError) as caught:
        choose("attention", LOGPROBS, provider="fake")
    assert str(caught.value) == (
        "attention needs weights; this provider gives logprobs. fake can serve: scoring"
    )


@pytest.mark.parametrize("capabilities", [TEXT, LOGPROBS], ids=lambda c: c.access)
def test_a_provider_that_no_method_can_explain_is_refused(capabilities: Capabilities) -> None:
    with pytest.raises(UnsupportedError, match=r"^attention needs weights.*fake can serve: none$"):
        choose("attention", capabilities, provider="fake")
    with pytest.raises(UnsupportedError, match="no method can explain fake: attention needs weights"):
        choose("auto", capabilities, provider="fake")


@pytest.mark.usefixtures("scoring")
def test_auto_says_of_every_method_why_it_cannot() -> None:
    with pytest.raises(UnsupportedError) as caught:
        choose("auto", TEXT, provider="fake")
    for name, need in (("attention", "weights"), ("scoring", "logprobs")):
        assert f"{name} needs {need}; this provider gives text" in str(caught.value)


@pytest.mark.parametrize("name", ["", "Attention", "attention ", "lime"])
def test_an_unknown_method_is_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(UnknownMethodError, match=r"known: auto, attention") as caught:
        choose(name, WEIGHTS, provider="fake")
    assert repr(name) in str(caught.value)


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [(WEIGHTS, [*ATTENTION, "scoring"]), (LOGPROBS, ["scoring"]), (TEXT, [])],
    ids=["weights", "logprobs", "text"],
)
def test_what_can_be_served_is_listed(capabilities: Capabilities, expected: list[str]) -> None:
    assert serves(capabilities) == expected


def test_a_reduction_that_a_model_refuses_is_passed_on_with_the_reason() -> None:
    capabilities = replace(WEIGHTS, refused={"rollout": "layers 0, 1 (Mamba) have no attention"})
    assert serves(capabilities) == ["attention", "attention_value_weighted"]
    with pytest.raises(UnsupportedError) as caught:
        choose("attention_rollout", capabilities, provider="fake")
    assert str(caught.value) == (
        "attention_rollout cannot be had from this model: layers 0, 1 (Mamba) have no attention. "
        "fake can serve: attention, attention_value_weighted"
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_there_under_its_name(name: str) -> None:
    assert get_method(name).name == name


@pytest.mark.parametrize("access", ["logprobs", "text"])
def test_an_explanation_that_cannot_be_made_asks_nothing_of_the_model(access: Access) -> None:
    provider = FakeProvider(access=access)
    with pytest.raises(UnsupportedError):
        Explainer(provider).explain("Go.", sources=["alpha"], method="attention")
    assert provider.calls == 0
