"""Which model it was that answered, and who explains it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel

from whence.api.langchain.by_hand import ByHand
from whence.api.sdk import Explainer
from whence.providers.errors import InputError

OURS = {
    "anthropic": "claude",
    "ollama": "ollama",
    "google_vertexai": "vertex",
    "huggingface": "huggingface",
}
"""Names of providers as LangChain tells them (ls_provider), and as whence has them."""
GEMINI = "google_genai"
"""Gemini, on Vertex AI or not: its settings say which."""
ANY = "*"
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A model as LangChain calls it: `provider` is its ls_provider, or what there is instead."""

    provider: str
    model: str
    on_vertex: bool = False

    @property
    def ours(self) -> str | None:
        """How whence calls it; None where it has no adapter of its own for it."""
        provider = "vertex" if self.on_vertex else OURS.get(self.provider)
        return None if provider is None else f"{provider}:{self.model}"

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


def identify(facts: Mapping[str, Any], answered: Mapping[str, Any]) -> Identity:
    """Who answered, by what a handler is told.

    `facts`: `metadata`, `serialized`, `invocation_params` of the call; `answered`: `response_metadata` of its
    answer. In this order: metadata, answer, class, type.
    """
    metadata, serialized, invocation = (
        facts.get(name) or {} for name in ("metadata", "serialized", "invocation_params")
    )
    named = (serialized.get("id") or [""])[-1]
    provider = (
        metadata.get("ls_provider")
        or answered.get("model_provider")
        or named
        or invocation.get("_type")
        or UNKNOWN
    )
    model = metadata.get("ls_model_name") or answered.get("model_name") or answered.get("model")
    for name in ("model", "model_name", "model_id"):
        model = model or invocation.get(name)
    return Identity(
        provider=str(provider),
        model=str(model or UNKNOWN).removeprefix("models/"),
        on_vertex=provider == GEMINI and _on_vertex(serialized),
    )


class Explainers:
    """Who explains which model.

    `given`: one explainer or several, for the models that they name themselves; or a mapping to them from
    `ls_provider:ls_model_name`, `ls_provider` or `*`. `models`: LangChain's own, asked as they are.
    Raises InputError.
    """

    def __init__(
        self,
        given: Explainer | Iterable[Explainer] | Mapping[str, Explainer] | None,
        models: Sequence[BaseChatModel],
    ) -> None:
        self._by_name: dict[str, Explainer] = {}
        if isinstance(given, Mapping):
            for name, explainer in zip(given, _explainers(list(given.values())), strict=True):
                self._add(name, explainer)
        else:
            several = [] if given is None else [given] if isinstance(given, Explainer) else list(given)
            for explainer in _explainers(several):
                self._add(explainer.name, explainer)
        for model in models:
            if not isinstance(model, BaseChatModel):
                raise InputError(
                    f"models= holds {type(model).__name__}; pass chat models of LangChain as they are before "
                    ".bind(), .with_retry(), .with_fallbacks() and the like"
                )
            identity = identify({"metadata": model._get_ls_params()}, {})
            # Where it does not tell its name before it answers, then all of its provider's are this one.
            name = identity.provider if identity.model == UNKNOWN else str(identity)
            self._add(name, Explainer(ByHand(model, name=name)))

    def of(self, identity: Identity) -> Explainer | None:
        """The explainer of a model; None where nobody was told."""
        for name in (str(identity), identity.ours, identity.provider, ANY):
            if name is not None and (explainer := self._by_name.get(_same(name))) is not None:
                return explainer
        return None

    def _add(self, name: str, explainer: Explainer) -> None:
        if _same(name) in self._by_name:
            raise InputError(f"two of those given explain {name}; leave one out")
        self._by_name[_same(name)] = explainer


def _same(name: str) -> str:
    """One name for what Ollama calls by two: `demo` is `demo:latest`."""
    return name.removesuffix(":latest") if name.startswith("ollama:") else name


def not_configured(identity: Identity) -> str:
    """What to write, so that this model is explained."""
    first = f"explainers=[Explainer({identity.ours!r})], or " if identity.ours else ""
    if identity.ours and identity.model == UNKNOWN:
        ours = identity.ours.replace(UNKNOWN, "NAME")
        first = f"explainers={{{identity.provider!r}: Explainer({ours!r})}}, or "
    return (
        f"no provider configured for {identity}: write ExplanationHandler({first}"
        "models=[llm]) with the chat model itself, which is then asked for texts"
    )


def _explainers(items: Sequence[object]) -> list[Explainer]:
    strange = [type(item).__name__ for item in items if not isinstance(item, Explainer)]
    if strange:
        raise InputError(f"explainers= holds {strange[0]}; pass Explainer('provider:model')")
    return [item for item in items if isinstance(item, Explainer)]


def _on_vertex(serialized: Mapping[str, Any]) -> bool:
    """As langchain-google-genai decides it."""
    kwargs = serialized.get("kwargs") or {}
    if kwargs.get("vertexai") is not None:
        return bool(kwargs["vertexai"])
    wanted = os.environ.get("GOOGLE_GENAI_USE_VERTEXAI", "").lower()
    if wanted in ("true", "1", "yes", "false", "0", "no"):
        return wanted in ("true", "1", "yes")
    return bool(kwargs.get("project") or kwargs.get("credentials"))
