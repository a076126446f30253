"""What the bundled model answers, asked through transformers' own `generate`: a second hand beside ours.

Calls that wait at one time share a batch.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

Turn = tuple[str, str]
"""Role (system, user, assistant) and text."""

CONTEXT_TOKENS = 1024
LOOKING_LAYER = 1  # where this model looks things up
LEAST_ATTENTION = 0.15  # a head of the eight that looks at one passage alone gives 0.125
MOST_CLAIMS = 2
AT_ONCE = 32
WINDOW_SECONDS = 0.002
MOST_KNOWN = 1024  # answers that are remembered


def sentences(text: str) -> list[str]:
    """The text in parts that end after a full stop and a blank; joined, they are the text."""
    return re.findall(r".+?(?:\. |$)", text, flags=re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A token of the answer; the texts of all of them, joined, are the answer's.

    `text` is empty where the token only begins a character. `top`: (text, id, log-probability in nats) of
    the most probable tokens in its place, best first.
    """

    text: str
    id: int
    logprob_nats: float
    top: tuple[tuple[str, int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """An answer. The end token is counted in `output_tokens`, and is no piece."""

    text: str
    pieces: tuple[Piece, ...]
    finish: Literal["stop", "length"]
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class _Call:
    ids: list[int]
    max_tokens: int
    temperature: float
    seed: int
    top: int
    answer: Future[Written] = field(default_factory=Future)


class Writer:
    """The bundled model; every method may be called from any thread."""

    def __init__(self) -> None:
        directory = str(files("whence.demo") / "model")
        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        # Eager, as no other way of computing it gives the attention out.
        self._model: Any = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
        # Each token alone, as it is called among the alternatives: there are twenty in each place.
        self._words = [self._tokenizer.decode([token]) for token in range(len(self._tokenizer))]
        self._known: dict[tuple[tuple[int, ...], int, int], Written] = {}
        self._waiting: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()

    def write(
        self, turns: Sequence[Turn], *, max_tokens: int, temperature: float = 0, seed: int = 0, top: int = 0
    ) -> Written:
        """Answer; at temperature 0 with the most probable tokens, else drawn with the seed.

        What it answered at temperature 0 it remembers. Log-probabilities are those before any temperature.
        `top`: how many alternatives each piece names.
        """
        return self.write_after(
            self._ids(turns), max_tokens=max_tokens, temperature=temperature, seed=seed, top=top
        )

    def write_after(
        self, ids: list[int], *, max_tokens: int, temperature: float = 0, seed: int = 0, top: int = 0
    ) -> Written:
        """The same for a prompt that is tokens already."""
        call = _Call(ids=ids, max_tokens=max_tokens, temperature=temperature, seed=seed, top=top)
        if temperature > 0:
            return self._asked(call)
        key = (tuple(call.ids), max_tokens, top)
        written = self._known.get(key)
        if written is None:
            written = self._asked(call)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = written
        return written

    def count(self, turns: Sequence[Turn]) -> int:
        """Tokens of the prompt, with the template around its turns."""
        return len(self._ids(turns))

    @torch.no_grad()
    def claims(self, turns: Sequence[Turn], answer: str, passages: Sequence[str]) -> list[list[int]]:
        """For each of `sentences(answer)` the passages looked at most while it was written, at most two.

        `passages` stand verbatim in the turns, in this order. Raises ValueError where one does not.
        """
        prompt, written = self._ids(turns), self._encode(answer)
        if not written or not passages:
            return [[] for _ in sentences(answer)]
        texts = self._texts(prompt)
        ends = np.cumsum([len(text) for text in texts])
        read, at = "".join(texts), 0
        inside = np.zeros((len(prompt), len(passages)), dtype=np.float32)
        for column, passage in enumerate(passages):
            start, at = read.index(passage, at), read.index(passage, at) + len(passage)
            inside[:, column] = (ends > start) & (ends <= at)
        found = self._model(torch.tensor([prompt + written]), output_attentions=True)
        heads = found.attentions[LOOKING_LAYER][0]
        rows = heads.mean(dim=0)[len(prompt) - 1 : -1, : len(prompt)].numpy() @ inside
        own_ends = np.cumsum([len(text) for text in self._texts(written)])
        claims: list[list[int]] = []
        end = 0
        for sentence in sentences(answer):
            start, end = end, end + len(sentence)
            most = rows[(own_ends > start) & (own_ends <= end)].max(axis=0, initial=0.0)
            best = np.argsort(-most, kind="stable")[:MOST_CLAIMS]
            claims.append(sorted(int(index) for index in best if most[index] >= LEAST_ATTENTION))
        return claims

    def _ids(self, turns: Sequence[Turn]) -> list[int]:
        """The prompt by the model's template; what looks like markup in a text is read as characters."""
        ids = [self._token("begin")]
        for role, text in turns:
            ids += [self._token(role), *self._encode(text), self._token("end")]
        return [*ids, self._token("assistant")]

    def _token(self, mark: str) -> int:
        return int(self._tokenizer.convert_tokens_to_ids(f"<|{mark}|>"))

    def _encode(self, text: str) -> list[int]:
        # Always in this mode, which is the tokenizer's own and not the call's: threads share it.
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(encoded["input_ids"])

    def _asked(self, call: _Call) -> Written:
        self._waiting.put(call)
        return call.answer.result()

    def _serve(self) -> None:
        while True:
            calls = [self._waiting.get()]
            time.sleep(WINDOW_SECONDS)
            while not self._waiting.empty():
                calls.append(self._waiting.get())
            calls.sort(key=lambda call: len(call.ids))
            for start in range(0, len(calls), AT_ONCE):
                batch = calls[start : start + AT_ONCE]
                try:
                    written = self._write(batch)
                except Exception as error:  # noqa: BLE001
                    for call in batch:
                        call.answer.set_exception(error)
                else:
                    for call, answer in zip(batch, written, strict=True):
                        call.answer.set_result(answer)

    @torch.no_grad()
    def _write(self, calls: Sequence[_Call]) -> list[Written]:
        width = max(len(call.ids) for call in calls)
        pad = self._tokenizer.pad_token_id
        found = self._model.generate(
            input_ids=torch.tensor([[pad] * (width - len(call.ids)) + call.ids for call in calls]),
            attention_mask=torch.tensor(
                [[0] * (width - len(call.ids)) + [1] * len(call.ids) for call in calls]
            ),
            max_new_tokens=max(call.max_tokens for call in calls),
            do_sample=False,
            logits_processor=[_Chance(calls, pad)],
            stopping_criteria=[_Limits(calls, width)],
            output_logits=True,
            return_dict_in_generate=True,
        )
        logprobs = torch.stack(found.logits, dim=1).log_softmax(dim=-1)
        return [
            self._written(call, ids, own)
            for call, ids, own in zip(calls, found.sequences[:, width:].tolist(), logprobs, strict=True)
        ]

    def _written(self, call: _Call, ids: list[int], logprobs: Tensor) -> Written:
        """One row of a batch: up to its end token, or its limit. `logprobs`: steps x vocabulary."""
        end = self._tokenizer.eos_token_id
        ids = ids[: call.max_tokens]
        stopped = end in ids
        kept = ids[: ids.index(end)] if stopped else ids
        best = logprobs[: len(kept)].topk(call.top, dim=-1)
        pieces = tuple(
            Piece(
                text=text,
                id=token,
                logprob_nats=float(row[token]),
                top=tuple(
                    (self._words[other], other, nats) for other, nats in zip(others, values, strict=True)
                ),
            )
            for text, token, row, others, values in zip(
                self._texts(kept), kept, logprobs, best.indices.tolist(), best.values.tolist(), strict=False
            )
        )
        return Written(
            text="".join(piece.text for piece in pieces),
            pieces=pieces,
            finish="stop" if stopped else "length",
            prompt_tokens=len(call.ids),
            output_tokens=len(kept) + stopped,
        )

    def _texts(self, ids: Sequence[int]) -> list[str]:
        """The characters that each token ends."""
        texts: list[str] = []
        held: list[int] = []
        for place, token in enumerate(ids, start=1):
            held.append(token)
            text = self._tokenizer.decode(held)
            if text.endswith("\ufffd") and place < len(ids):
                texts.append("")
            else:
                texts.append(text)
                held = []
        return texts


class _Chance:
    """Noise by which the most probable token is one drawn at the call's temperature (Gumbel), by its seed."""

    def __init__(self, calls: Sequence[_Call], pad: int) -> None:
        self._pad = pad
        self._drawn = [
            (row, call.temperature, np.random.default_rng(call.seed))
            for row, call in enumerate(calls)
            if call.temperature > 0
        ]

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, self._pad] = -torch.inf
        for row, temperature, chance in self._drawn:
            scores[row] = scores[row] / temperature + torch.from_numpy(chance.gumbel(size=scores.shape[1]))
        return scores


class _Limits:
    """Ends each row at its own limit."""

    def __init__(self, calls: Sequence[_Call], width: int) -> None:
        self._ends = torch.tensor([width + call.max_tokens for call in calls])

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        return ids.shape[1] >= self._ends


_one_at_a_time = threading.Lock()
_loaded: list[Writer] = []


def writer() -> Writer:
    """The one of this process, loaded when it is first asked for."""
    with _one_at_a_time:
        if not _loaded:
            _loaded.append(Writer())
        return _loaded[0]
