"""Which model answered, who explains it, and models that are given by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.context import register_configure_hook
from langchain_google_genai import ChatGoogleGenerativeAI
from langsmith import Client, tracing_context
from tests.api.langchain.conftest import PATIENCE_SECONDS, SAID, WROTE, Make, explained, in_a_loop, to
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.vertex_answers import LOCATION

from whence import Explainer, FakeProvider
from whence.api.langchain import ExplanationHandler
from whence.api.langchain.models import Explainers, Identity, identify, not_configured
from whence.demo.records import PROMPT, generate
from whence.providers.errors import InputError
from whence.providers.fake import EXAMPLE_RULES

RULES = FakeProvider(access="text")


class Reading(BaseChatModel):
    """Answers by what it reads, as a FakeProvider does; counts its calls."""

    model: str = "reader"
    temperature: float | None = None
    asked: list[str] = []  # noqa: RUF012 - a field of pydantic

    @property
    def _llm_type(self) -> str:
        return "reading"

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> ChatResult:
        read = " ".join(str(message.text) for message in messages)
        self.asked.append(read)
        words = frozenset(read.replace(".", " ").split())
        said = [rule.text for rule in EXAMPLE_RULES if rule.value_nats(words) * 2 >= rule.full_nats]
        answer = AIMessage("".join(said) or "Nothing is known.", response_metadata={"finish_reason": "stop"})
        return ChatResult(generations=[ChatGeneration(message=answer)])


# --- Identity ---


@pytest.mark.parametrize(
    ("facts", "answered", "wanted"),
    [
        ({"metadata": {"ls_provider": "a", "ls_model_name": "m"}}, {"model_name": "other"}, "a:m"),
        ({"metadata": {"ls_provider": "a"}}, {"model_name": "n"}, "a:n"),
        ({"metadata": {"ls_provider": "a"}}, {"model": "n"}, "a:n"),
        ({"metadata": {}}, {"model_provider": "b", "model_name": "n"}, "b:n"),
        ({"serialized": {"id": ["x", "ChatThing"]}}, {"model_name": "n"}, "ChatThing:n"),
        (
            {"serialized": {"id": ["x", "ChatThing"]}, "invocation_params": {"_type": "t", "model": "m"}},
            {},
            "ChatThing:m",
        ),
        ({"invocation_params": {"_type": "t", "model_name": "m"}}, {}, "t:m"),
        ({"invocation_params": {"_type": "t", "model_id": "m"}}, {}, "t:m"),
        ({"serialized": None, "metadata": None, "invocation_params": None}, {}, "unknown:unknown"),
        ({"metadata": {"ls_provider": "google_genai", "ls_model_name": "models/g"}}, {}, "google_genai:g"),
        ({"serialized": {"id": []}}, {}, "unknown:unknown"),
    ],
    ids=str,
)
def test_who_answered(facts: Any, answered: Any, wanted: str) -> None:
    assert str(identify(facts, answered)) == wanted


class Spy(BaseCallbackHandler):
    """What LangChain tells a handler of a model."""

    def __init__(self) -> None:
        self.identities: list[Identity] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **told: Any) -> None:
        facts = {
            "serialized": serialized,
            **{name: told.get(name) for name in ("metadata", "invocation_params")},
        }
        self.identities.append(identify(facts, {}))


@pytest.mark.parametrize(
    ("kind", "wanted", "ours"),
    [
        ("anthropic", "anthropic:claude-haiku-5-5", "claude:claude-haiku-5-5"),
        ("ollama", "ollama:demo", "ollama:demo"),
        ("vertex", "google_genai:gemini-2.5-flash", "vertex:gemini-2.5-flash"),
    ],
)
def test_who_the_real_packages_say_it_is(kind: str, wanted: str, ours: str, chat: Make) -> None:
    spy = Spy()
    chat(kind).invoke(SAID, {"callbacks": [spy]})
    assert [(str(one), one.ours) for one in spy.identities] == [(wanted, ours)]


GEMINIS: dict[str, tuple[dict[str, Any], str | None, bool]] = {
    "a key": ({"google_api_key": "k"}, None, False),
    "a project": ({"project": PROJECT, "location": LOCATION}, None, True),
    "said so": ({"vertexai": True, "project": PROJECT, "location": LOCATION}, None, True),
    "said not so": ({"vertexai": False, "google_api_key": "k", "project": PROJECT}, None, False),
    "the environment": ({"google_api_key": "k", "project": PROJECT}, "false", False),
    "the environment says so": ({"google_api_key": "k"}, "true", True),
}


@pytest.mark.parametrize("name", GEMINIS)
def test_gemini_is_on_vertex_or_not(name: str, servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options, environment, on_vertex = GEMINIS[name]
    if environment is not None:
        monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", environment)
    if "google_api_key" not in options:
        options = {**options, "credentials": Credentials(token=ACCESS_TOKEN)}  # type: ignore[no-untyped-call]
    llm = ChatGoogleGenerativeAI(
        model="gemini-2.5-flash",
        base_url=servers["vertex"].url,
        api_version="v1",
        max_retries=1,
        max_output_tokens=5,
        **options,
    )
    assert llm._use_vertexai == on_vertex  # type: ignore[attr-defined]
    spy = Spy()
    with suppress(Exception):  # only the server for Vertex AI is here
        llm.invoke(SAID, {"callbacks": [spy]})
    llm.client.close()  # type: ignore[union-attr]
    assert [one.ours for one in spy.identities] == ["vertex:gemini-2.5-flash" if on_vertex else None]


# --- Who explains it ---


def test_a_mapping_is_looked_up_from_the_model_to_everything() -> None:
    fakes = {name: Explainer(FakeProvider()) for name in ("a:m", "a", "*")}
    found = Explainers(fakes, ())
    assert found.of(Identity(provider="a", model="m")) is fakes["a:m"]
    assert found.of(Identity(provider="a", model="n")) is fakes["a"]
    assert found.of(Identity(provider="b", model="m")) is fakes["*"]
    assert Explainers({"a:m": fakes["a:m"]}, ()).of(Identity(provider="a", model="n")) is None
    gemini = Identity(provider="google_genai", model="g", on_vertex=True)
    assert Explainers({"google_genai:g": fakes["a"]}, ()).of(gemini) is fakes["a"]
    vertex = Explainer(FakeProvider(name="vertex", model="g"))
    assert Explainers(vertex, ()).of(gemini) is vertex
    assert Explainers([vertex], ()).of(Identity(provider="google_genai", model="g")) is None


def test_ollama_s_latest_is_the_model_itself() -> None:
    one = Explainer(FakeProvider(name="ollama", model="demo"))
    for given in ([one], {"ollama:demo:latest": one}):
        for name in ("demo", "demo:latest"):
            assert Explainers(given, ()).of(Identity(provider="ollama", model=name)) is one
        assert Explainers(given, ()).of(Identity(provider="ollama", model="demo:8b")) is None


@pytest.mark.parametrize("wrap", ["bind", "with_retry", "with_fallbacks"])
def test_a_model_is_given_before_it_is_wrapped(wrap: str) -> None:
    wrapped = {
        "bind": lambda llm: llm.bind(stop=["x"]),
        "with_retry": lambda llm: llm.with_retry(),
        "with_fallbacks": lambda llm: llm.with_fallbacks([llm]),
    }[wrap](Reading())
    with pytest.raises(InputError, match=r"before \.bind\(\), \.with_retry\(\)"):
        ExplanationHandler(models=[wrapped])


def test_two_for_one_model_are_refused() -> None:
    with pytest.raises(InputError, match="two of those given explain fake"):
        Explainers([Explainer(FakeProvider()), Explainer(FakeProvider())], ())
    with pytest.raises(InputError, match="two of those given explain reading:reader"):
        Explainers(None, [Reading(), Reading(temperature=1.0)])
    with pytest.raises(InputError, match="two of those given explain reading:reader"):
        Explainers({"reading:reader": Explainer(FakeProvider())}, [Reading()])


@pytest.mark.parametrize(
    ("identity", "advice"),
    [
        (Identity(provider="anthropic", model="c"), "explainers=[Explainer('claude:c')]"),
        (Identity(provider="google_genai", model="g", on_vertex=True), "[Explainer('vertex:g')]"),
        (Identity(provider="huggingface", model="unknown"), "{'huggingface': Explainer('huggingface:NAME')}"),
        (Identity(provider="google_genai", model="g"), "ExplanationHandler(models=[llm])"),
        (Identity(provider="openai", model="o"), "ExplanationHandler(models=[llm])"),
    ],
    ids=str,
)
def test_what_to_write_where_nobody_explains_it(identity: Identity, advice: str) -> None:
    told = not_configured(identity)
    assert told.startswith(f"no provider configured for {identity}: write ExplanationHandler(")
    assert advice in told


def test_without_an_explainer_it_is_recorded(chat: Make) -> None:
    made = ExplanationHandler()
    chat("anthropic").invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert record.status == "not configured"
    assert record.reason == not_configured(Identity(provider="anthropic", model="claude-haiku-5-5"))
    assert (made.errors, made.counts.not_configured, record.explanation) == ([], 1, None)
    assert made.explanations == ()


def test_a_model_that_continues_texts_is_one_too(handler: Make) -> None:
    made = handler()
    assert FakeListLLM(responses=[WROTE]).invoke(SAID, to(made)) == WROTE
    assert list(FakeListLLM(responses=[WROTE]).stream(SAID, to(made)))
    for record in explained(made):
        assert record.answer == WROTE
        assert record.explanation is not None
        assert record.explanation.sources[0].text == SAID


# --- By hand ---


BUDGET = {"calls": 60}
LEAVING: dict[str, Any] = {"method": "leave_one_out", "removals": False}


def test_a_model_by_hand_is_asked_itself_for_texts() -> None:
    llm = Reading()
    made = ExplanationHandler(models=[llm], budget=BUDGET, **LEAVING)
    llm.invoke(SAID, to(made))
    (record,) = explained(made)
    explanation = record.explanation
    assert explanation is not None
    assert (explanation.provider, explanation.model) == ("langchain", "reading:reader")
    assert len(llm.asked) > 3
    assert explanation.cost.calls == len(llm.asked) - 1
    assert any("asked again through LangChain" in caveat for caveat in _caveats(explanation))
    best = [explanation.segment_text(int(row.argmax())).strip() for row in explanation.matrix(0)]
    assert best == ["Take alpha daily.", "The scan shows gamma."]


def _caveats(explanation: Any) -> list[str]:
    return [str(caveat) for result in explanation.results for caveat in result.caveats] + [
        str(note) for note in getattr(explanation, "notes", ())
    ]


def test_by_hand_without_a_budget_nothing_is_asked() -> None:
    llm = Reading()
    made = ExplanationHandler(models=[llm])
    llm.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    assert [record.status for record in made.records] == ["planned"]
    assert len(llm.asked) == 1


EVERYWHERE: ContextVar[Any] = ContextVar("everywhere", default=None)
register_configure_hook(EVERYWHERE, inheritable=True)


@pytest.mark.parametrize("mode", ["background", "inline"])
@pytest.mark.parametrize("by", ["the call", "the model", "everywhere"])
def test_the_handler_never_explains_its_own_calls(mode: Any, by: str) -> None:
    llm = Reading()
    made = ExplanationHandler(models=[llm], budget=BUDGET, mode=mode, **LEAVING)
    spy = Spy()
    if by == "the model":
        llm.callbacks = [made, spy]
    given = EVERYWHERE.set(made if by == "everywhere" else None)
    try:
        llm.invoke(SAID, {"callbacks": [made, spy]} if by == "the call" else {})
    finally:
        EVERYWHERE.reset(given)
    records = explained(made)
    assert len(records) == made.counts.answered == 1
    assert made.counts.passed_over == 0
    assert len(llm.asked) > 3
    assert len(spy.identities) == (0 if by == "everywhere" else 1)


@pytest.mark.parametrize("mode", ["background", "inline"])
def test_langsmith_hears_nothing_of_these_calls(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(LangChainTracer, "on_chat_model_start", lambda *told, **more: heard.append(told))
    for event in ("on_llm_end", "_start_trace", "_persist_run", "_persist_run_single", "_update_run_single"):
        monkeypatch.setattr(LangChainTracer, event, lambda *told, **more: None)
    llm = Reading()
    made = ExplanationHandler(models=[llm], budget=BUDGET, mode=mode, **LEAVING)
    with tracing_context(enabled=True, client=Client(api_url="http://127.0.0.1:9", api_key="x")):
        llm.invoke(SAID, to(made))
        explained(made)
    assert len(heard) == 1  # the chain's own
    assert len(llm.asked) > 3


def test_a_cache_does_not_answer_for_a_model_by_hand() -> None:
    llm = Reading()
    set_llm_cache(InMemoryCache())
    try:
        made = ExplanationHandler(models=[llm], budget=BUDGET, **LEAVING)
        llm.invoke(SAID, to(made))
        explained(made)
        asked = len(llm.asked)
        llm.invoke(SAID, to(made))  # of the cache, and explained again
        explained(made)
    finally:
        set_llm_cache(None)
    assert len(llm.asked) == 2 * asked - 1


@pytest.mark.parametrize("kind", ["anthropic", "ollama", "vertex"])
def test_a_real_model_by_hand_after_its_event_loop_has_gone(kind: str, chat: Make, servers: Any) -> None:
    llm = chat(kind)
    made = ExplanationHandler(models=[llm], budget={"calls": 12}, removals=False)
    said = f"{generate(100).text}\n\n{PROMPT}"
    answer = in_a_loop(llm, lambda: llm.ainvoke(said, to(made)))
    (record,) = explained(made)
    assert record.answer == answer.text
    assert record.explanation is not None
    assert 1 < record.explanation.cost.calls == servers[kind].calls - 1


def test_a_model_by_hand_that_does_not_tell_its_name() -> None:
    class Nameless(Reading):
        model: Any = None

    made = ExplanationHandler(models=[Nameless()], budget=BUDGET, **LEAVING)
    Nameless().invoke(SAID, to(made))
    (record,) = explained(made)
    assert record.model == "nameless:unknown"


def test_a_model_by_hand_that_fails_is_told_as_it_is() -> None:
    class Failing(Reading):
        def _generate(self, messages: Any, *arguments: Any, **options: Any) -> ChatResult:
            if self.asked:
                raise ValueError("quotes the request: " + SAID)
            return super()._generate(messages)

    llm = Failing()
    made = ExplanationHandler(models=[llm], budget=BUDGET, **LEAVING)
    llm.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert record.status == "failed"
    assert record.reason == "the model raised ValueError; see its cause"
    assert made.errors == [record.error]


def test_the_provider_of_models_by_hand_is_not_asked_for_what_langchain_does_not_import() -> None:
    code = "import sys, whence; sys.exit('langchain_core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0  # noqa: S603


def test_several_models_by_hand() -> None:
    first, second = Reading(), FakeListChatModel(responses=[WROTE])
    made = ExplanationHandler(models=[first, second], budget=BUDGET, **LEAVING)
    first.invoke(SAID, to(made))
    second.invoke(SAID, to(made))
    records = explained(made)
    assert [record.explanation.model for record in records if record.explanation] == [
        "reading:reader",
        "fakelistchatmodel",
    ]
