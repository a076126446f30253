"""The bundled model as llama-server runs it: control tokens parsed in any text, output forced by a grammar.

Checked against llama.cpp itself (the same GGUF file, the same grammar): the same tokens, the same texts.
"""

from __future__ import annotations

import re
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import torch
from jinja2 import TemplateError
from tests.servers.answers import MOST_KNOWN, writer
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.convert_slow_tokenizer import bytes_to_unicode

INVALID = re.compile("[\udc80-\udcff]")
TRAILING_SPACE = re.compile(rb"(?: |\n{1,2}[ \t]{0,20})?")
"""What llama.cpp's grammar of a JSON schema allows after the value; every beginning of it is allowed, too."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A token as the list of log-probabilities has it. `top`: the most probable tokens in its place."""

    text: str
    logprob_nats: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is sent at once: the characters that a token completes, and the entries that come with them."""

    text: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What was written. `ids`: every token, the end token included; those that show no text have no step."""

    ids: tuple[int, ...]
    steps: tuple[Step, ...]
    finish: Literal["stop", "length"]


@dataclass(frozen=True)
class _Chance:
    """Which of some log-probabilities is taken: the highest, or at a temperature one that is drawn."""

    temperature: float
    generator: np.random.Generator

    def best(self, nats: np.ndarray) -> int:
        if self.temperature > 0:
            nats = nats / self.temperature + self.generator.gumbel(size=len(nats))
        return int(nats.argmax())


Chosen = tuple[int, float, Sequence[tuple[int, float]]]
"""A token, its log-probability in nats, and the most probable ones in its place."""


class Runner:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        directory = str(files("whence.demo") / "model")
        # Its own, as the writer's reads what looks like markup as characters: that is a mode of a tokenizer.
        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        self._tokenizer.model_max_length = sys.maxsize  # who asks counts, and tells what is too long
        self._model: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
        self._end: int = self._tokenizer.eos_token_id
        self._control = frozenset(self._tokenizer.all_special_ids)
        byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
        words = self._tokenizer.convert_ids_to_tokens(list(range(len(self._tokenizer))))
        self._bytes = [
            token.encode() if index in self._control else bytes(byte_of[character] for character in token)
            for index, token in enumerate(words)
        ]
        self._ids_of: dict[bytes, list[int]] = defaultdict(list)
        for index, own in enumerate(self._bytes):
            if index != self._end:
                self._ids_of[own].append(index)
        self._longest = max(map(len, self._ids_of))
        self._known: dict[tuple[tuple[int, ...], bytes, int, int, bool], list[Chosen]] = {}

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """The prompt. Ollama would run the Go template of the store, which says the same as this Jinja one.

        Raises ValueError for a role that the template does not know.
        """
        try:
            prompt: str = self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise ValueError(str(error)) from error
        return prompt

    def encode(self, text: str) -> list[int]:
        """Control tokens are parsed wherever they stand; no begin token is added, as the file says."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def write(
        self,
        ids: list[int],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        top: int,
        stop: Sequence[str],
        each_token: bool,
    ) -> Ran:
        """Write freely, up to a text of `stop`. `each_token`: see `force`."""
        written = writer().write_after(
            ids, max_tokens=max_tokens, temperature=temperature, seed=seed, top=top
        )
        chosen: list[Chosen] = [
            (piece.id, piece.logprob_nats, [(other, nats) for _, other, nats in piece.top])
            for piece in written.pieces
        ]
        if written.finish == "stop":
            chosen.append((self._end, 0.0, ()))  # shown nowhere
        steps: list[Step] = []
        for step in self._steps(chosen, each_token):
            steps.append(step)
            text = "".join(one.text for one in steps)
            ends = [text.index(one) for one in stop if one in text]
            if ends:
                kept = step.text[: len(step.text) - (len(text) - min(ends))]
                steps[-1] = Step(text=kept, entries=step.entries)
                return Ran(ids=tuple(token for token, _, _ in chosen), steps=tuple(steps), finish="stop")
        return Ran(ids=tuple(token for token, _, _ in chosen), steps=tuple(steps), finish=written.finish)

    def force(
        self,
        ids: list[int],
        literal: bytes,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        top: int = 0,
        trailing_space: bool = True,
        each_token: bool = False,
    ) -> Ran:
        """Write `literal`, each time by the most probable token (or a drawn one) that continues it.

        The log-probabilities are those of the whole vocabulary. What it wrote at temperature 0 it remembers.
        `each_token`: with an entry for each token that is not the end, as Ollama's own runner gave them
        before llama-server came; else a token that ends inside a character has none.
        """
        key = (tuple(ids), literal, max_tokens, top, trailing_space)
        chosen = self._known.get(key) if temperature == 0 else None
        if chosen is None:
            chance = _Chance(temperature, np.random.default_rng(seed))
            chosen = self._forced(ids, literal, max_tokens, chance, top, trailing_space)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            if temperature == 0:
                self._known[key] = chosen
        return Ran(
            ids=tuple(token for token, _, _ in chosen),
            steps=tuple(self._steps(chosen, each_token)),
            finish="stop" if chosen[-1][0] == self._end else "length",
        )

    @torch.no_grad()
    def _forced(
        self, ids: list[int], literal: bytes, max_tokens: int, chance: _Chance, top: int, trailing_space: bool
    ) -> list[Chosen]:
        """The model reads a guessed rest at once, and again from where another token is more probable."""
        cache = DynamicCache(config=self._model.config)
        chosen: list[Chosen] = []
        pending, at, tail = ids, 0, b""
        while len(chosen) < max_tokens:
            guess = [*self._guess(literal[at:]), self._end]
            logits = self._model(torch.tensor([pending + guess[:-1]]), past_key_values=cache).logits[0]
            rows = logits[len(pending) - 1 :].log_softmax(dim=-1)
            used = 0
            for row, guessed in zip(rows, guess, strict=True):
                allowed = self._allowed(literal[at:], tail, trailing_space)
                token = allowed[chance.best(row[allowed].numpy())]
                best = row.topk(top)
                others = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
                chosen.append((token, float(row[token]), others))
                if token == self._end:
                    return chosen
                over = len(self._bytes[token]) - (len(literal) - at)
                tail += self._bytes[token][-over:] if over > 0 else b""
                at = min(at + len(self._bytes[token]), len(literal))
                if len(chosen) == max_tokens or token != guessed:
                    break
                used += 1
            if used < len(guess) - 1:
                cache.crop(used + 1 - len(guess))
            pending = [token]
        return chosen

    def _guess(self, rest: bytes) -> list[int]:
        inside = 0  # bytes of a character that has begun already
        while inside < len(rest) and rest[inside] & 0xC0 == 0x80:
            inside += 1
        begun = [self._ids_of[rest[place : place + 1]][0] for place in range(inside)]
        return [*begun, *self.encode(rest[inside:].decode())]

    def _allowed(self, rest: bytes, tail: bytes, trailing_space: bool) -> list[int]:
        """The tokens that continue; a control token by what it is called, unless it is the end."""
        inside = range(1, min(len(rest), self._longest) + 1)
        allowed = [token for length in inside for token in self._ids_of.get(rest[:length], ())]
        if trailing_space and len(rest) < self._longest:
            allowed += [
                token
                for own, tokens in self._ids_of.items()
                if len(own) > len(rest)
                and own.startswith(rest)
                and TRAILING_SPACE.fullmatch(tail + own[len(rest) :])
                for token in tokens
            ]
        return allowed if rest else [*allowed, self._end]

    def _steps(self, chosen: Iterable[Chosen], each_token: bool) -> Iterable[Step]:
        """What is sent: a text is held back while it ends inside a character; no text, nothing sent."""
        held, entries = b"", list[Entry]()
        for token, nats, others in chosen:
            if token == self._end:
                return
            held += self._shown(token, each_token)
            top = tuple((self._alone(other, each_token), value) for other, value in others)
            entries.append(Entry(text=self._alone(token, each_token), logprob_nats=nats, top=top))
            if held and _whole(held) == len(held):
                text = held.decode(errors="replace")
                # Without an entry for each token, the one that completes the text is called by all of it.
                yield Step(
                    text=text, entries=tuple(entries) if each_token else (replace(entries[-1], text=text),)
                )
                held, entries = b"", []

    def _shown(self, token: int, each_token: bool) -> bytes:
        """What a token adds to the text: of a control token only Ollama's own runner shows the name."""
        return self._bytes[token] if each_token or token not in self._control else b""

    def _alone(self, token: int, each_token: bool) -> str:
        """A token by itself: Go replaces invalid bytes one by one, llama-server cuts a character begun."""
        own = self._shown(token, each_token)
        if each_token:
            return INVALID.sub("\ufffd", own.decode(errors="surrogateescape"))
        return own[: _whole(own)].decode(errors="replace")


def _whole(text: bytes) -> int:
    """How many bytes come before a character that is begun at the end, and is not complete."""
    for back in range(1, min(len(text), 4) + 1):
        byte = text[-back]
        needed = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4 if byte & 0xF8 == 0xF0 else 1
        if needed > back:
            return len(text) - back
    return len(text)


_one_at_a_time = threading.Lock()
_loaded: list[Runner] = []


def runner() -> Runner:
    """The one of this process, loaded when it is first asked for."""
    with _one_at_a_time:
        if not _loaded:
            _loaded.append(Runner())
        return _loaded[0]
