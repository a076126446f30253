"""The errors of Whence.

    WhenceError
    ├── InputError (ValueError)           what was given cannot be explained
    │   ├── EmptyPromptError              no instruction
    │   ├── NoSourceError                 no source with any text
    │   ├── TextError                     a text that cannot be read, a name that cannot be used
    │   ├── EmptyOutputError              nothing to explain: the output has no text
    │   └── BudgetError                   what is asked costs more than the budget allows
    ├── NameUnknownError (LookupError)    a name that nothing answers to
    │   ├── UnknownProviderError
    │   ├── UnknownModelError
    │   ├── UnknownMethodError
    │   ├── UnknownScorerError
    │   └── UnknownLayerError             a layer or head that the model does not have
    ├── UnsupportedError                  known, but not possible with this model and method
    ├── MissingExtraError (ImportError)   an optional package is not installed
    └── ProviderError                     the provider could not do what it was asked
        ├── ModelLoadError                weights or tokenizer unusable
        ├── AuthenticationError           no key, or one that is not accepted
        ├── QuotaError                    no credit or quota is left: asking again does not help
        ├── RefusedError                  the model, or a filter before it, would not answer
        ├── CutError                      an answer was cut at its limit, so it is no measure
        ├── ContextLengthError            more tokens than the model can read
        ├── RenderError                   a source is not verbatim in the rendered prompt
        ├── CaptureError                  the model's attention could not be observed
        └── TemporaryError                may succeed when asked again; it was, until the deadline
            ├── RateLimitError            asked too often
            └── UnavailableError          overloaded, out of reach, or no answer in time

Every message says what was asked, what is possible, and what to do. The exception of a library underneath
stays as `__cause__`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class WhenceError(Exception):
    """The root of every error that Whence raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args), self.__dict__


def _rebuilt(cls: type[WhenceError], args: tuple[Any, ...]) -> WhenceError:
    """An error on its way between processes; past __init__, whose parameters are not `args`."""
    return cls.__new__(cls, *args)


class InputError(WhenceError, ValueError):
    """What was given cannot be explained."""


class EmptyPromptError(InputError):
    """The prompt has no instruction."""


class NoSourceError(InputError):
    """There is no source with any text, so nothing could receive credit."""


class TextError(InputError):
    """A text that cannot be read (a lone surrogate, not UTF-8), or a source's name that cannot be used."""


class EmptyOutputError(InputError):
    """The output has no text, so there is nothing to explain."""


class BudgetError(InputError):
    """What is asked costs more calls, tokens, money or seconds than the budget allows."""


class NameUnknownError(WhenceError, LookupError):
    """A name that nothing answers to; the message lists the names that exist."""

    def __init__(self, what: str, name: object, known: Iterable[object], hint: str = "") -> None:
        listed = ", ".join(str(item) for item in known) or "none"
        super().__init__(f"unknown {what} {name!r}; known: {listed}{'. ' if hint else ''}{hint}")


class UnknownProviderError(NameUnknownError):
    """No provider has this name."""


class UnknownModelError(NameUnknownError):
    """The provider has no model of this name."""


class UnknownMethodError(NameUnknownError):
    """No method has this name."""


class UnknownScorerError(NameUnknownError):
    """No scorer has this name."""


class UnknownLayerError(NameUnknownError):
    """The model has no such layer or head."""


class UnsupportedError(WhenceError):
    """Known, but not possible with this model and method."""


class MissingExtraError(WhenceError, ImportError):
    """An optional package is not installed; the message holds the pip command."""

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed: pip install 'whence[{extra}]'"
        )
        self.extra = extra


class ProviderError(WhenceError):
    """The provider could not do what it was asked. `request_id`: the provider's own, where it names one."""

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message if request_id is None else f"{message} (request {request_id})")
        self.request_id = request_id


class ModelLoadError(ProviderError):
    """The weights or the tokenizer cannot be used."""


class AuthenticationError(ProviderError):
    """The provider has no key, or does not accept it."""


class QuotaError(ProviderError):
    """No credit or quota is left at the provider; asking again does not help."""


class RefusedError(ProviderError):
    """The model, or a filter before it, would not answer. Its tokens are billed all the same."""

    def __init__(
        self,
        message: str,
        *,
        request_id: str | None = None,
        prompt_tokens: int = 0,
        output_tokens: int = 0,
    ) -> None:
        super().__init__(message, request_id=request_id)
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens


class CutError(ProviderError):
    """An answer was cut at its limit of tokens, so what it does not say is no evidence."""


class ContextLengthError(ProviderError):
    """The prompt, with its output, has more tokens than the model can read.

    `limit_tokens`: the model's context. `reserved_tokens`: of these, kept for an answer yet to be written.
    """

    def __init__(
        self, *, tokens: int, limit_tokens: int, reserved_tokens: int = 0, request_id: str | None = None
    ) -> None:
        self.tokens = tokens
        self.limit_tokens = limit_tokens
        self.reserved_tokens = reserved_tokens
        self.excess_tokens = tokens - (limit_tokens - reserved_tokens)
        room = f"the {limit_tokens} that this model can read"
        if reserved_tokens:
            room = (
                f"the {limit_tokens - reserved_tokens} that fit: this model can read {limit_tokens}, "
                f"of which {reserved_tokens} are kept for its answer"
            )
        super().__init__(
            f"the text has {tokens} tokens, {self.excess_tokens} more than {room}. Shorten the sources, "
            "or ask for truncation (truncate=True, --truncate), which leaves out whole segments from the "
            "end of the sources and says so",
            request_id=request_id,
        )


class RenderError(ProviderError):
    """A source is not verbatim in the prompt that the chat template made."""


class CaptureError(ProviderError):
    """The model's attention could not be observed."""


class TemporaryError(ProviderError):
    """The provider may succeed when asked again, after `retry_after_seconds` where it says so."""

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message, request_id=request_id)
        self.retry_after_seconds = retry_after_seconds


class RateLimitError(TemporaryError):
    """The provider was asked too often."""


class UnavailableError(TemporaryError):
    """The provider is overloaded or out of reach, or gave no answer in time."""
