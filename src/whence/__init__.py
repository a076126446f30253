"""Whence: for every part of a model's output, which parts of its input it came from, and how we know.

Everything public is here. Names are imported on first use, so `import whence` stays quick and loads no
optional package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from whence.version import __version__

if TYPE_CHECKING:
    from whence.api.sdk import Explainer as Explainer
    from whence.explain.budget import Budget as Budget
    from whence.explain.keeper import KeepAttention as KeepAttention
    from whence.explain.plan import Plan as Plan
    from whence.explain.result import Result as Result
    from whence.explain.schema import Explanation as Explanation
    from whence.explain.schema import Passage as Passage
    from whence.explain.schema import Segment as Segment
    from whence.explain.schema import Target as Target
    from whence.explain.tensor import AttentionBlock as AttentionBlock
    from whence.providers.base import Prices as Prices
    from whence.providers.base import Provider as Provider
    from whence.providers.base import Step as Step
    from whence.providers.claude import Claude as Claude
    from whence.providers.errors import AuthenticationError as AuthenticationError
    from whence.providers.errors import BudgetError as BudgetError
    from whence.providers.errors import CaptureError as CaptureError
    from whence.providers.errors import ContextLengthError as ContextLengthError
    from whence.providers.errors import CutError as CutError
    from whence.providers.errors import EmptyOutputError as EmptyOutputError
    from whence.providers.errors import EmptyPromptError as EmptyPromptError
    from whence.providers.errors import InputError as InputError
    from whence.providers.errors import MissingExtraError as MissingExtraError
    from whence.providers.errors import ModelLoadError as ModelLoadError
    from whence.providers.errors import NameUnknownError as NameUnknownError
    from whence.providers.errors import NoSourceError as NoSourceError
    from whence.providers.errors import ProviderError as ProviderError
    from whence.providers.errors import QuotaError as QuotaError
    from whence.providers.errors import RateLimitError as RateLimitError
    from whence.providers.errors import RefusedError as RefusedError
    from whence.providers.errors import RenderError as RenderError
    from whence.providers.errors import TemporaryError as TemporaryError
    from whence.providers.errors import TextError as TextError
    from whence.providers.errors import UnavailableError as UnavailableError
    from whence.providers.errors import UnknownLayerError as UnknownLayerError
    from whence.providers.errors import UnknownMethodError as UnknownMethodError
    from whence.providers.errors import UnknownModelError as UnknownModelError
    from whence.providers.errors import UnknownProviderError as UnknownProviderError
    from whence.providers.errors import UnknownScorerError as UnknownScorerError
    from whence.providers.errors import UnsupportedError as UnsupportedError
    from whence.providers.errors import WhenceError as WhenceError
    from whence.providers.fake import FakeProvider as FakeProvider
    from whence.providers.huggingface import HuggingFace as HuggingFace
    from whence.providers.ollama import Ollama as Ollama
    from whence.providers.prompt import Message as Message
    from whence.providers.prompt import Source as Source
    from whence.providers.vertex import Vertex as Vertex

_ERRORS = (
    "AuthenticationError",
    "BudgetError",
    "CaptureError",
    "ContextLengthError",
    "CutError",
    "EmptyOutputError",
    "EmptyPromptError",
    "InputError",
    "MissingExtraError",
    "ModelLoadError",
    "NameUnknownError",
    "NoSourceError",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "RefusedError",
    "RenderError",
    "TemporaryError",
    "TextError",
    "UnavailableError",
    "UnknownLayerError",
    "UnknownMethodError",
    "UnknownModelError",
    "UnknownProviderError",
    "UnknownScorerError",
    "UnsupportedError",
    "WhenceError",
)
_HOMES = {
    "AttentionBlock": "whence.explain.tensor",
    "Budget": "whence.explain.budget",
    "Claude": "whence.providers.claude",
    "Explainer": "whence.api.sdk",
    "Explanation": "whence.explain.schema",
    "FakeProvider": "whence.providers.fake",
    "HuggingFace": "whence.providers.huggingface",
    "KeepAttention": "whence.explain.keeper",
    "Message": "whence.providers.prompt",
    "Ollama": "whence.providers.ollama",
    "Passage": "whence.explain.schema",
    "Plan": "whence.explain.plan",
    "Prices": "whence.providers.base",
    "Provider": "whence.providers.base",
    "Result": "whence.explain.result",
    "Segment": "whence.explain.schema",
    "Source": "whence.providers.prompt",
    "Step": "whence.providers.base",
    "Target": "whence.explain.schema",
    "Vertex": "whence.providers.vertex",
    **dict.fromkeys(_ERRORS, "whence.providers.errors"),
}

_ADAPTERS = {"Claude": "claude", "HuggingFace": "huggingface", "Ollama": "ollama", "Vertex": "vertex"}
"""Names that need an optional package, by that of the registry's entry, which knows its pip command."""

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'whence' has no attribute {name!r}")
    if name in _ADAPTERS:
        from whence.providers.registry import PROVIDERS, load_attribute

        return load_attribute(PROVIDERS[_ADAPTERS[name]])
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
