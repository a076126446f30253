"""From a reply of Vertex AI to an observation, or to the error that it is."""

from __future__ import annotations

import math
import re
from typing import Literal

from whence.providers.errors import ProviderError, RefusedError, UnavailableError
from whence.providers.observations import Generation, WrittenToken
from whence.providers.vertex.failures import clean
from whence.providers.vertex.wire import Choice, Reply

FINISHES: dict[str, Literal["stop", "length"]] = {"STOP": "stop", "MAX_TOKENS": "length"}
REFUSALS = (
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MODEL_ARMOR",
    "JAILBREAK",
)
SPECIAL = re.compile(r"<[^<>\s]*>")
"""What the end of a turn is called where it is told as a token, such as <end_of_turn>."""
ROUNDING_NATS = 1e-6
LONGEST_NAME = 60
"""Characters of what the API calls an ending, of which it may make new ones."""


def generation_of(reply: Reply, *, model: str, logprobs: bool) -> Generation:
    """The whole reply as an answer. Raises RefusedError, UnavailableError, ProviderError."""
    said = f": {clean(reply.comment)}" if reply.comment else ""
    blocked, finish = (clean(name, most=LONGEST_NAME) for name in (reply.blocked, reply.finish))
    billed = {"prompt_tokens": reply.prompt_tokens or 0, "output_tokens": reply.output_tokens or 0}
    if reply.blocked:
        raise RefusedError(
            f"Vertex AI blocked the prompt for {model} ({blocked}){said}; change the prompt or the "
            "sources, or the safety settings of the project",
            request_id=reply.request_id,
            **billed,
        )
    if not reply.answered:
        raise ProviderError(
            f"Vertex AI gave no answer of {model}, and no reason for it", request_id=reply.request_id
        )
    if not reply.finish:
        raise UnavailableError(
            f"the answer of {model} ended before it was finished", request_id=reply.request_id
        )
    if reply.finish in REFUSALS or reply.finish.startswith("IMAGE_"):
        raise RefusedError(
            f"{model} ended its answer for {finish}{said}; change the prompt or the sources",
            request_id=reply.request_id,
            **billed,
        )
    if reply.finish not in FINISHES:
        raise ProviderError(f"{model} ended its answer for {finish}{said}", request_id=reply.request_id)
    return Generation(
        text=reply.text,
        finish=FINISHES[reply.finish],
        prompt_tokens=reply.prompt_tokens,
        output_tokens=reply.output_tokens,
        tokens=_tokens(reply, model) if logprobs else None,
    )


def _tokens(reply: Reply, model: str) -> tuple[WrittenToken, ...]:
    """Each token of the text with what it is worth. Raises ProviderError where they are not the text's."""
    chosen = list(reply.chosen) if reply.text else []
    if chosen and _ends(chosen[-1]) and "".join(choice.text for choice in chosen[:-1]) == reply.text:
        chosen.pop()
    if "".join(choice.text for choice in chosen) != reply.text:
        raise _useless(reply, model, "are not those of its answer's tokens")
    if reply.alternatives and len(reply.alternatives) != len(reply.chosen):
        raise _useless(reply, model, "have more or fewer places than its answer")
    tokens: list[WrittenToken] = []
    at = 0
    for place, choice in enumerate(chosen):
        others: dict[str, float] = {}
        for other in reply.alternatives[place] if reply.alternatives else ():
            if not _same(other, choice):
                nats = _nats(other, reply, model)
                others[other.text] = max(nats, others.get(other.text, -math.inf))
        end = at + len(choice.text)
        tokens.append(
            WrittenToken(start=at, end=end, logprob_nats=_nats(choice, reply, model), others=others)
        )
        at = end
    return tuple(tokens)


def _ends(choice: Choice) -> bool:
    return not choice.text or SPECIAL.fullmatch(choice.text) is not None


def _same(other: Choice, chosen: Choice) -> bool:
    if other.id is None or chosen.id is None:
        return other.text == chosen.text
    return other.id == chosen.id


def _nats(choice: Choice, reply: Reply, model: str) -> float:
    nats = choice.logprob_nats
    if nats is None or not math.isfinite(nats) or nats > ROUNDING_NATS:
        raise _useless(reply, model, f"hold {nats}, which is none")
    return min(nats, 0.0)


def _useless(reply: Reply, model: str, why: str) -> ProviderError:
    return ProviderError(
        f"the log-probabilities that Vertex AI gave for {model} {why}; make the adapter with logprobs=False, "
        "which does without",
        request_id=reply.request_id,
    )
