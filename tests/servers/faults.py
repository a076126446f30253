"""What can go wrong with one call of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "rate_limit",
    "server_error",
    "overloaded",
    "cut_connection",
    "slow_body",
    "malformed_json",
    "refusal",
    "wrong_key",
    "forbidden",
    "quota",
    "low_credit",
    "spend_limit",
    "context_length",
    "no_text",
    "max_tokens",
    "thinking_only",
    "logprobs_refused",
    "fewer_logprobs",
    "more_logprobs",
    "nan_logprob",
    "echo_key",
    "runner_crash",
    "no_logprobs",
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How one call fails.

    `retry_after_seconds`: what the server asks the client to wait, where the kind has such a header.
    `seconds`: the pause before each byte of a slow body. `mid_stream`: a server error or an overload comes
    as an event after the first words of a stream; a call that does not stream is answered at once.
    """

    kind: Kind
    retry_after_seconds: float | None = None
    seconds: float = 0.0
    mid_stream: bool = False
