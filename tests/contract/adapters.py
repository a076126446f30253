"""The adapters that keep the contract. A new one joins ADAPTERS, with what it cannot keep, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from google.oauth2.credentials import Credentials
from tests.peers.aimock import AIMOCK_AS_CLAUDE, AIMOCK_AS_VERTEX, absent
from tests.servers.anthropic import API_KEY, AnthropicServer
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.hosting import Server
from tests.servers.ollama import OllamaServer
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION
from tests.servers.vertex_grpc import VertexGrpcServer

from whence import FakeProvider, Prices
from whence.demo.provider import load
from whence.demo.records import PROMPT
from whence.providers.base import Provider
from whence.providers.claude import Claude
from whence.providers.ollama import Ollama
from whence.providers.vertex import Vertex

NOTE = (
    "The patient is allergic to latex. The weather was fine. Please attend the eye clinic in 3 weeks.\n"
    "Started on apixaban."
)
CUES = "It says alpha. Nothing here. It says gamma.\nIt says delta."
PRICES = Prices(input_per_million=3.0, output_per_million=15.0, currency="EUR")
BEARER = "bearer-that-nobody-may-see"
SECRETS = (API_KEY, ACCESS_TOKEN, BEARER)
NEVER_OF_AN_OLLAMA = dict.fromkeys(
    (
        "test_what_stays_is_an_error_of_its_kind[quota-QuotaError]",
        "test_what_stays_is_an_error_of_its_kind[refusal-RefusedError]",
        "test_a_removal_that_is_refused_or_cut_is_no_score[refusal]",
    ),
    "an Ollama is somebody's own: it wants no money, and no filter stands before its models",
)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One adapter as the contract sees it.

    `serve`: a context with the server that it asks, or None. `make`: a new provider; further options are its
    own. `prompt`, `source`: what it answers about. `says`: a part of one sentence of the answer, `because`:
    of the segment of the source that it rests on.
    `excused`: names of tests that it does not pass, with the reason: of all of a test, or of one case of it
    (`test_it[rate_limit]`). `absent`: why it cannot run here.
    """

    name: str
    make: Callable[..., Provider]
    serve: Callable[[], Any] | None = None
    prompt: str = PROMPT
    source: str = NOTE
    says: str = "Allergic to latex."
    because: str = "allergic to latex"
    excused: Mapping[str, str] = field(default_factory=dict)
    absent: str = ""


@cache
def bundled() -> Provider:
    """The bundled model, loaded once."""
    return load()


def fake(access: Any, **fields: Any) -> Adapter:
    """The fake at one level of access; its prices make it count like any API."""
    kind = "-".join([access, *(name.replace("_", "-") for name in fields)])
    return Adapter(
        name=f"fake-{kind}",
        make=lambda _server, **options: FakeProvider(
            access=access, **{"prices": PRICES, **fields, **options}
        ),
        prompt="Say it.",
        source=CUES,
        says="The dose is low.",
        because="alpha",
    )


def claude(server: Server, model: str = "claude-sonnet-5-5", **options: Any) -> Provider:
    """Claude of the API."""
    given = {"api_key": API_KEY, "base_url": server.url, "prices": PRICES, "deadline_seconds": 30.0}
    return Claude(model, **{**given, **options})


def claude_on_vertex(server: Server, model: str = "claude-opus-5-5", **options: Any) -> Provider:
    """Claude of Vertex AI; a model that thinks."""
    given = {
        "project": PROJECT,
        "location": "europe-west1",
        "credentials": Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
        "base_url": f"{server.url}/v1",
        "prices": PRICES,
        "deadline_seconds": 30.0,
    }
    return Claude(model, **{**given, **options})


def gemini(server: Server | VertexGrpcServer, model: str = "gemini-2.5-flash", **options: Any) -> Provider:
    """Gemini over the transport that the server speaks."""
    over_grpc = isinstance(server, VertexGrpcServer)
    given = {
        "project": PROJECT,
        "location": LOCATION,
        "credentials": Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
        "transport": "grpc" if over_grpc else "rest",
        "endpoint": f"http://{server.address}" if isinstance(server, VertexGrpcServer) else server.url,
        "prices": PRICES,
        "deadline_seconds": 30.0,
    }
    return Vertex(model, **{**given, **options})


def on_aimock(name: str, **fields: Any) -> Adapter:
    """An adapter that asks aimock, which has any model, and reads prompts of any length."""
    return Adapter(
        name=name,
        excused={
            "test_an_unknown_model_is_said_before_anything_is_paid": "aimock has every model",
            "test_what_is_too_long_can_be_shortened_when_asked_to": "aimock reads prompts of any length",
        },
        absent=absent(),
        **fields,
    )


def ollama(server: OllamaServer, model: str = "demo", **options: Any) -> Provider:
    """A model of an Ollama, behind a proxy that wants a key; its weights are not looked for."""
    given = {"host": server.url, "api_key": BEARER, "native": False, "deadline_seconds": 30.0}
    return Ollama(model, **{**given, **options})


def ollama_native(server: OllamaServer, model: str = "demo", **options: Any) -> Provider:
    """The same with its weights, which are on this machine."""
    return ollama(server, model, **{"native": True, "models_dir": server.store, **options})


OLD_OLLAMA = partial(OllamaServer, version="0.12.10")
"""The last one that tells no log-probabilities."""

ADAPTERS = (
    fake("weights"),
    fake("logprobs"),
    fake("logprobs", writes_logprobs=True),
    fake("text", cites=True),
    Adapter(
        name="demo",
        make=lambda _server: bundled(),
        excused=dict.fromkeys(
            (
                "test_every_call_and_token_is_counted_as_the_other_side_counts_them",
                "test_a_plan_makes_the_model_write_nothing_and_bounds_what_is_spent",
                "test_a_budget_is_kept_or_nothing_is_asked",
                "test_who_is_cancelled_asks_no_more_and_holds_up_nobody",
            ),
            "the model is here, and nobody else counts its passes",
        ),
    ),
    Adapter(name="claude", make=claude, serve=AnthropicServer),
    Adapter(
        name="claude-on-vertex",
        make=claude_on_vertex,
        serve=AnthropicServer,
        excused={
            "test_what_is_too_long_can_be_shortened_when_asked_to": "on Vertex AI nobody tells how long a "
            "context is, so none of it can be kept for the answer"
        },
    ),
    Adapter(name="gemini", make=gemini, serve=VertexServer),
    Adapter(name="gemini-over-grpc", make=gemini, serve=VertexGrpcServer),
    Adapter(name="gemini-without-logprobs", make=partial(gemini, model="gemini-3.5-pro"), serve=VertexServer),
    Adapter(
        name="ollama",
        make=ollama,
        serve=OllamaServer,
        excused={
            **NEVER_OF_AN_OLLAMA,
            "test_a_removal_that_is_refused_or_cut_is_no_score[max_tokens]": "it writes no answers to "
            "shortened records: it scores the given one",
        },
    ),
    Adapter(
        name="ollama-text",
        make=ollama,
        serve=OLD_OLLAMA,
        excused={
            **NEVER_OF_AN_OLLAMA,
            "test_offsets_are_of_the_texts_as_given": "of that text the bundled model repeats one token, "
            "and this Ollama gives up",
        },
    ),
    Adapter(
        name="ollama-native",
        make=ollama_native,
        serve=OllamaServer,
        excused={
            **NEVER_OF_AN_OLLAMA,
            **dict.fromkeys(
                (
                    "test_every_call_and_token_is_counted_as_the_other_side_counts_them",
                    "test_what_passes_is_asked_again_and_every_attempt_is_counted",
                    "test_a_removal_that_is_refused_or_cut_is_no_score",
                    "test_what_stays_is_an_error_of_its_kind[max_tokens-CutError]",
                    "test_many_ask_at_once_and_the_limit_of_the_adapter_holds",
                ),
                "the server only writes, and the weights are read here, where nobody else counts",
            ),
        },
    ),
    on_aimock("claude-on-aimock", make=claude, serve=AIMOCK_AS_CLAUDE),
    on_aimock("gemini-on-aimock", make=gemini, serve=AIMOCK_AS_VERTEX),
)
