"""A model asked through its Ollama: to write, to write a given text, and to show what it is given to read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from whence.providers.base import Progress, Writing
from whence.providers.errors import (
    ContextLengthError,
    CutError,
    ProviderError,
    RenderError,
    UnknownModelError,
    UnsupportedError,
)
from whence.providers.observations import Generation, TokenScores
from whence.providers.ollama.forcing import Entry, align, longest_literal_tokens, schema_of, with_blanks
from whence.providers.ollama.place import same
from whence.providers.ollama.wire import Held, Messages, Reply, Wire

SEEDS = 2**31
COUNTS = 64
"""So many prompts' tokens, as Ollama counted them, are remembered."""
NEARLY = 8
"""Of its context Ollama may leave as many tokens empty where it is full."""
BYTES_PER_TOKEN = 3
TEMPLATE_TOKENS = 32
"""More than a template puts around a message."""


class Served:
    """One model of an Ollama; each call is one request.

    `num_ctx`: tokens that it may read and write; `cuts`: whether a longer prompt is cut without a word.

    Raises UnknownModelError, ContextLengthError, AuthenticationError, ProviderError.
    """

    def __init__(self, wire: Wire, model: str, *, num_ctx: int, cuts: bool, temperature: float) -> None:
        self.num_ctx = num_ctx
        self._cuts = cuts
        self._wire = wire
        self._model = model
        self._temperature = temperature
        self._counted: OrderedDict[Messages, int | None] = OrderedDict()

    async def write(
        self, messages: Messages, *, max_tokens: int, seed: int, progress: Progress | None
    ) -> Generation:
        """An answer, without thinking first."""
        self._require_room(messages)
        text, last, lines = "", Reply(), 0
        writing = Writing(progress, max_tokens)
        fields = {"options": self._options(max_tokens, seed)}
        try:
            with self._wire.in_time():
                async with aclosing(self._wire.stream(self._model, messages, **fields)) as replies:
                    async for reply in replies:
                        text, last, lines = text + reply.message.content, reply, lines + 1
                        await writing.so_far(lines)
        except UnknownModelError as error:
            raise await self._removed() from error
        self._remember(messages, last.prompt_eval_count)
        wrote = lines if last.eval_count is None else last.eval_count
        await writing.whole(wrote)
        return Generation(
            text=text,
            # Ollama ends a stream without another word where a model repeats one token too often.
            finish="stop" if last.done and last.done_reason == "stop" else "length",
            prompt_tokens=last.prompt_eval_count,
            output_tokens=wrote,
        )

    async def force(self, messages: Messages, text: str) -> TokenScores:
        """Log-probabilities of a text, which the model is made to write. Raises UnsupportedError."""
        # What a Modelfile wants of an answer (where it ends, what it must not repeat) would cut this one.
        free = {"temperature": 0, "stop": [], "repeat_penalty": 1.0}
        options = self._options(longest_literal_tokens(text)) | free
        reply = await self._chat(messages, format=schema_of(text), logprobs=True, options=options)
        read, wrote = reply.prompt_eval_count or 0, reply.eval_count or 0
        if reply.done_reason == "length" and read + wrote < self.num_ctx - NEARLY:
            raise CutError(
                f"{self._model} was stopped after {wrote} tokens of the text that it was to score, and its "
                f"context of {self.num_ctx} tokens is not full; lower num_ctx= to what this Ollama allows"
            )
        if reply.done_reason == "length":
            missing = max(len(text) - len(reply.message.content), BYTES_PER_TOKEN) // BYTES_PER_TOKEN
            tokens = max(read + wrote, self.num_ctx) + missing
            raise ContextLengthError(tokens=tokens, limit_tokens=self.num_ctx)
        if reply.message.thinking:
            raise UnsupportedError(
                f"{self._model} thinks before it writes, even where it is told not to, and what it thinks "
                "cannot be forced; compare texts (value='similarity')"
            )
        if reply.logprobs is None:
            raise UnsupportedError(
                f"{self._model} came without log-probabilities; compare texts (value='similarity')"
            )
        if not reply.done:
            raise CutError(
                "Ollama gave up the text that it was to score, as it does where a token comes more than 30 "
                "times in a row; compare texts (value='similarity')"
            )
        entries = [Entry(text=entry.token, logprob_nats=entry.logprob) for entry in reply.logprobs]
        told = with_blanks(align(reply.message.content, entries, text, tokens=wrote), text)
        return TokenScores(
            spans=tuple((one.start, one.end) for one in told),
            logprobs_nats=tuple(one.logprob_nats for one in told),
            prompt_tokens=reply.prompt_eval_count,
            encoding="json",
            extents=tuple(one.extent for one in told),
            written_tokens=wrote,
        )

    async def render(self, messages: Messages) -> str:
        """The prompt as Ollama makes it, which its model then reads. Raises RenderError."""
        reply = await self._chat(messages, _debug_render_only=True, options=self._options(1))
        if reply.rendering is None:
            raise RenderError(
                "this Ollama does not show the prompts that it makes (_debug_render_only), so what its model "
                "reads is not known; update it, or take native=False"
            )
        return reply.rendering.rendered_template

    async def count(self, messages: Messages) -> int | None:
        """Tokens of the prompt that the model reads; None where Ollama does not tell. It is made to read."""
        if self._counted.get(messages) is None:
            self._require_room(messages)
            reply = await self._chat(messages, options=self._options(1))
            self._remember(messages, reply.prompt_eval_count)
        return self._counted[messages]

    async def _chat(self, messages: Messages, **fields: Any) -> Reply:
        try:
            return await self._wire.chat(self._model, messages, **fields)
        except UnknownModelError as error:
            raise await self._removed() from error

    def _require_room(self, messages: Messages) -> None:
        """Raise ProviderError where the prompt might be cut: it has no more tokens than bytes."""
        most = sum(TEMPLATE_TOKENS + len(text.encode()) for _, text in messages)
        if self._cuts and most > self.num_ctx:
            raise ProviderError(
                f"this Ollama cuts what does not fit without a word, and {most} bytes might not fit into "
                f"{self.num_ctx} tokens; update Ollama (0.12.6 says it), or give a larger num_ctx="
            )

    async def _removed(self) -> UnknownModelError:
        return unknown(self._model, await self._wire.held())

    def _options(self, max_tokens: int, seed: int = 0) -> dict[str, Any]:
        return {
            "num_ctx": self.num_ctx,
            "num_predict": max_tokens,
            "temperature": self._temperature,
            "seed": seed % SEEDS,
        }

    def _remember(self, messages: Messages, tokens: int | None) -> None:
        self._counted[messages] = tokens
        self._counted.move_to_end(messages)
        while len(self._counted) > COUNTS:
            self._counted.popitem(last=False)


async def held_of(wire: Wire, model: str) -> Held:
    """What an Ollama says of the model that it holds under this name.

    Raises UnknownModelError, and ProviderError for two that differ by their case alone, and are not the same.
    """
    held = await wire.held()
    alike = [one for one in held if same(one.name, model)]
    if not alike:
        raise unknown(model, held)
    if len({one.digest for one in alike}) > 1:
        names = ", ".join(one.name for one in alike)
        raise ProviderError(f"this Ollama holds several models of this name ({names}); remove all but one")
    return alike[0]


def unknown(model: str, held: Sequence[Held]) -> UnknownModelError:
    """Says what there is instead."""
    names = [one.name for one in held]
    return UnknownModelError("model of this Ollama", model, names, f"To get it: ollama pull {model}")
