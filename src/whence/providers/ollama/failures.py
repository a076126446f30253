"""What an Ollama says went wrong, as the errors of whence."""

from __future__ import annotations

import re
from http import HTTPStatus

from whence.providers.errors import (
    AuthenticationError,
    ContextLengthError,
    ModelLoadError,
    ProviderError,
    RateLimitError,
    UnavailableError,
    UnknownModelError,
    WhenceError,
)

LONGEST_MESSAGE = 300
TOO_LONG = re.compile(
    r"exceed\w* (the )?(available )?context|longer than the context|exceed_context_size", re.IGNORECASE
)
TOKENS = re.compile(r"n_prompt_tokens\W+(\d+)")
CONTEXT = re.compile(r"n_ctx\W+(\d+)")
NO_MEMORY = re.compile(r"requires more system memory|out of memory|unable to load model", re.IGNORECASE)


def clean(message: str, secret: str | None) -> str:
    """A message of somebody else's: on one line, not too long, and without the key."""
    line = " ".join((message.replace(secret, "***") if secret else message).split())
    return line if len(line) <= LONGEST_MESSAGE else line[:LONGEST_MESSAGE] + " ..."


def error_of(
    status: int, message: str, *, model: str, asked_tokens: int, num_ctx: int, secret: str | None
) -> WhenceError:
    """Ours for an answer that is an error.

    `model`: that was asked; `asked_tokens`: about as many as were sent, for a message that does not count
    them; `num_ctx`: the context that was asked for.
    """
    told = f"Ollama answered {status}: {clean(message, secret).rstrip('.') or 'no message'}"
    if TOO_LONG.search(message):
        tokens, limit = TOKENS.search(message), CONTEXT.search(message)
        limit_tokens = int(limit[1]) if limit else num_ctx
        counted = int(tokens[1]) if tokens else asked_tokens
        return ContextLengthError(tokens=max(counted, limit_tokens + 1), limit_tokens=limit_tokens)
    if NO_MEMORY.search(message):
        return ModelLoadError(
            f"{told}. Free memory where Ollama runs, or take a smaller model, quantization or num_ctx="
        )
    match status:
        case HTTPStatus.NOT_FOUND:
            return UnknownModelError("model of this Ollama", model, (), told)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return AuthenticationError(f"{told}. Give the key of whatever stands before it (api_key=)")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return RateLimitError(told)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return UnavailableError(told)
    return ProviderError(told)
