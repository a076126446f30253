"""The errors of Ollama, and of the llama-server behind it."""

from __future__ import annotations

import json

from tests.servers.faults import Fault, Kind

QUEUE_FULL = "server busy, please try again.  maximum pending requests exceeded"
STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)
STOPPED_MID_STREAM = "an error was encountered while running the model: unexpected EOF"
NO_SHIFT = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
TOO_LONG = "the input length exceeds the context length"
SIGN_IN = "https://ollama.com/connect?name=here&key=c3NoLWVkMjU1MTk"
ERRORS: dict[Kind, tuple[int, str]] = {
    "server_error": (500, STOPPED),
    "overloaded": (503, QUEUE_FULL),
    "runner_crash": (500, "llama-server process has terminated: exit status 2"),
    # Ollama itself asks for no key and limits no rate: these come from its cloud, or from a proxy before it.
    "rate_limit": (429, "too many requests"),
    "wrong_key": (401, "unauthorized"),
}
DAMAGING = ("cut_connection", "malformed_json", "slow_body")
SPOILING = ("no_text", "max_tokens", "thinking_only", "no_logprobs", "fewer_logprobs", "more_logprobs")


class OllamaError(Exception):
    """An error as Ollama tells it: a status, and a body with little but its text."""

    def __init__(self, status: int, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after_seconds is None else {"retry-after": f"{retry_after_seconds:g}"}

    @property
    def body(self) -> dict[str, str]:
        where = {"signin_url": SIGN_IN} if self.status == 401 else {}
        return {"error": str(self), **where}


def too_long(tokens: int, context_tokens: int) -> OllamaError:
    """What llama-server says of a prompt that does not fit: its JSON, inside the text of Ollama's."""
    nested = {
        "code": 400,
        "message": f"request ({tokens} tokens) exceeds the available context size ({context_tokens} tokens), "
        "try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": tokens,
        "n_ctx": context_tokens,
    }
    return OllamaError(400, json.dumps({"error": nested}, separators=(",", ":")))


def error_of(fault: Fault, *, credential: str, context_tokens: int) -> OllamaError | None:
    """The error with which a call is answered; None for a fault that spoils the answer instead.

    `credential`: what the caller sent to a proxy. Raises ValueError for what an Ollama never answers.
    """
    if fault.kind == "echo_key":
        return OllamaError(400, f"the credential {credential} cannot be used")
    if fault.kind == "context_length":
        return too_long(context_tokens + 1, context_tokens)
    if fault.kind in ERRORS:
        status, message = ERRORS[fault.kind]
        if fault.kind == "server_error" and fault.mid_stream:
            message = STOPPED_MID_STREAM
        return OllamaError(status, message, retry_after_seconds=fault.retry_after_seconds)
    if fault.kind not in (*DAMAGING, *SPOILING):
        raise ValueError(f"an Ollama never answers with {fault.kind!r}")
    return None
