"""What a request to Ollama lets the bundled model read, and what it allows as the output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.servers.ollama_errors import NO_SHIFT, TOO_LONG, OllamaError, too_long
from tests.servers.ollama_requests import Asked, Chat, Generate, Options
from tests.servers.ollama_runner import runner
from tests.servers.ollama_store import Stored

Said = dict[str, str]


def messages_of(asked: Chat | Generate, model: Stored) -> list[Said]:
    """The messages that a template writes, with the model's own system message before them."""
    system = model.text("system")
    if isinstance(asked, Generate):
        system = asked.system or system
        said = [{"role": "user", "content": asked.prompt}]
    else:
        said = [message.said for message in asked.messages]
    if system and said[0]["role"] != "system":
        said.insert(0, {"role": "system", "content": system})
    return said


def fitted(prompt: str, asked: Asked, options: Options, *, own_runner: bool) -> list[int]:
    """The prompt's tokens, of which the middle is left out where they do not fit and this is not forbidden.

    Raises OllamaError.
    """
    ids = runner().encode(prompt)
    if asked.truncate and len(prompt.encode()) >= options.num_ctx and len(ids) >= options.num_ctx:
        if not asked.shift:
            raise OllamaError(400, NO_SHIFT)
        kept = len(ids) if options.num_keep < 0 else options.num_keep
        kept = min(kept, options.num_ctx - 1)
        limit = options.num_ctx - max((options.num_ctx - kept) // 2, 1)
        ids = ids[:kept] + ids[kept + len(ids) - limit :]
    if len(ids) >= options.num_ctx:
        raise OllamaError(400, TOO_LONG) if own_runner else too_long(len(ids), options.num_ctx)
    return ids


def forced(form: Any) -> bytes | None:
    """The only output that a `format` allows; None where it says nothing. Raises OllamaError."""
    if form is None or form == "":
        return None
    if isinstance(form, Mapping) and set(form) == {"const"}:
        return json.dumps(form["const"], ensure_ascii=False).encode()
    if isinstance(form, Mapping) or form == "json":
        raise OllamaError(501, "this server, which is no Ollama, forces constants only")
    told = json.dumps(json.dumps(form))
    raise OllamaError(500, f'invalid format: {told}; expected "json" or a valid JSON Schema object')
