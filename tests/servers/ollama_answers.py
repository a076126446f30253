"""What the bundled model answers in the place of Ollama's models, from the prompt to what is told of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

from tests.servers.faults import Fault
from tests.servers.ollama_errors import NO_SHIFT, TOO_LONG, OllamaError, too_long
from tests.servers.ollama_requests import Asked, Chat, Generate, Options, options_of
from tests.servers.ollama_runner import Entry, Ran, Step, runner
from tests.servers.ollama_store import Stored

THOUGHT = "It is in the record."
OPENING, CLOSING = "<think>", "</think>"
CUT_TOKENS = 8
MOST_REPEATED = 30
DEFAULT_CONTEXT_TOKENS = 4096

Said = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One chunk: what it shows, and the step that wrote it."""

    thinking: str
    content: str
    step: Step


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`written_tokens` counts all of them, also those that no part shows."""

    asked: Asked
    parts: tuple[Part, ...]
    finish: Literal["stop", "length"]
    prompt_tokens: int
    written_tokens: int
    nanoseconds: int
    context: tuple[int, ...] | None
    told_logprobs: int
    """For how many of the parts: more than there are repeats the last."""
    given_up: bool
    """Whether Ollama stopped reading, as the model repeated itself: then nothing says that it is done."""

    def chunks(self) -> Iterator[dict[str, Any]]:
        """The lines of a stream: one for each part, and the last with the counts."""
        for place, part in enumerate(self.parts):
            again = part is self.parts[-1] and self.told_logprobs > len(self.parts)
            told = [self._entry(entry) for entry in part.step.entries] * (1 + again)
            told = told if place < self.told_logprobs else []
            yield chunk(self.asked, part.content, part.thinking, logprobs=told)
        if not self.given_up:
            yield chunk(self.asked, "", "", done=self.finish) | self._counts()

    def whole(self) -> dict[str, Any]:
        """The same at once."""
        told = [entry for one in self.chunks() for entry in one.get("logprobs", ())]
        content = "".join(part.content for part in self.parts)
        thinking = "".join(part.thinking for part in self.parts)
        if self.given_up:
            return chunk(self.asked, content, thinking, logprobs=told)
        return chunk(self.asked, content, thinking, done=self.finish, logprobs=told) | self._counts()

    def _counts(self) -> dict[str, Any]:
        counts = {
            "total_duration": self.nanoseconds,
            "load_duration": self.nanoseconds // 8,
            "prompt_eval_count": self.prompt_tokens,
            "prompt_eval_duration": self.nanoseconds // 8,
            "eval_count": self.written_tokens,
            "eval_duration": self.nanoseconds // 2,
        }
        return counts if self.context is None else {"context": list(self.context), **counts}

    def _entry(self, entry: Entry) -> dict[str, Any]:
        told = _token(entry.text, entry.logprob_nats)
        if self.asked.top_logprobs:
            told["top_logprobs"] = [_token(text, nats) for text, nats in entry.top]
        return told


def _token(text: str, nats: float) -> dict[str, Any]:
    """A token; `bytes` are those of its text, which is not always all that the token has."""
    told: dict[str, Any] = {"token": text, "logprob": nats}
    return told | {"bytes": list(text.encode())} if text else told


def chunk(
    asked: Asked, content: str, thinking: str, *, done: str = "", logprobs: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """One object of an answer; what is empty is left out as Go leaves it out."""
    thought = {"thinking": thinking} if thinking else {}
    said: dict[str, Any] = {"response": content, **thought}
    if isinstance(asked, Chat):
        said = {"message": {"role": "assistant", "content": content, **thought}}
    return {
        "model": asked.model,
        "created_at": now(),
        **said,
        "done": bool(done),
        **({"done_reason": done} if done else {}),
        **({"logprobs": logprobs} if logprobs else {}),
    }


def now() -> str:
    """The time as Go writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Writes answers; may be asked from any thread.

    `trailing_space`: whether white space may follow a forced output. `own_runner`: whether Ollama's own code
    runs the model, as it did before llama-server.
    """

    trailing_space: bool
    own_runner: bool
    _numbers: Iterator[int] = field(default_factory=count)

    def options(self, asked: Asked, model: Stored) -> Options:
        """Of a call. Raises OllamaError."""
        most = int(model.metadata.get("llama.context_length", DEFAULT_CONTEXT_TOKENS))
        default = min(DEFAULT_CONTEXT_TOKENS, most)
        return options_of(model.parameters, asked.options, default=default, most=most)

    def prompt(self, asked: Chat | Generate, model: Stored, options: Options) -> str:
        """The text that the model reads. Messages that do not fit are left out, the first ones first.

        The last message stays, and so do the system's. Raises OllamaError.
        """
        if isinstance(asked, Generate) and asked.raw:
            return asked.prompt
        said = _said(asked, model)
        first = 0
        if asked.truncate:
            while first < len(said) - 1 and len(self._rendered(said, first)[1]) > options.num_ctx:
                first += 1
        return self._rendered(said, first)[0]

    def _rendered(self, said: list[Said], first: int) -> tuple[str, list[int]]:
        system = [message for message in said[:first] if message["role"] == "system"]
        try:
            prompt = runner().render([*system, *said[first:]])
        except ValueError as error:
            raise OllamaError(500, str(error)) from error
        return prompt, runner().encode(prompt)

    def answer(self, asked: Chat | Generate, model: Stored, fault: Fault | None) -> Answer:
        """Answer, or say too little, as the fault wants. Raises OllamaError."""
        began = time.perf_counter_ns()
        options = self.options(asked, model)
        prompt = self.prompt(asked, model, options)
        ids = fitted(prompt, asked, options, own_runner=self.own_runner)
        kind = fault.kind if fault else None
        # Where `shift` allows it, a real llama-server writes on past its context, and forgets. This one ends.
        room = options.num_ctx - len(ids)
        if options.num_predict > 0:
            room = min(room, options.num_predict)
        if kind == "max_tokens":
            room = min(room, CUT_TOKENS)
        thinks = "thinking" in model.capabilities and asked.think is not False
        parts: list[Part] = []
        thought_ids: tuple[int, ...] = ()
        finish: Literal["stop", "length"] = "length"
        if thinks or kind == "thinking_only":
            thought = runner().force(ids, f"{OPENING}{THOUGHT}{CLOSING}".encode(), max_tokens=room)
            parts, finish = _thinking(thought.steps), "length"
            thought_ids = thought.ids[:-1]
        written_tokens = len(thought_ids)
        if kind == "no_text":
            parts, finish, written_tokens = [], "stop", 1
        elif kind != "thinking_only" and len(thought_ids) < room:
            ran = self._run([*ids, *thought_ids], asked, options, room - len(thought_ids))
            parts += [Part(thinking="", content=step.text, step=step) for step in ran.steps]
            finish, written_tokens = ran.finish, written_tokens + len(ran.ids)
        kept = _before_repetition(parts)
        text = "".join(part.content for part in kept)
        keeps_context = isinstance(asked, Generate) and not asked.raw
        return Answer(
            asked=asked,
            parts=tuple(kept),
            finish=finish,
            prompt_tokens=len(ids),
            written_tokens=written_tokens,
            nanoseconds=time.perf_counter_ns() - began,
            context=tuple(runner().encode(prompt + text)) if keeps_context else None,
            told_logprobs=_told(asked, len(kept), kind),
            given_up=len(kept) < len(parts),
        )

    def _run(self, ids: list[int], asked: Asked, options: Options, max_tokens: int) -> Ran:
        seed = next(self._numbers) if options.seed < 0 else options.seed
        drawn: dict[str, Any] = {"max_tokens": max_tokens, "temperature": options.temperature, "seed": seed}
        drawn |= {"top": asked.top_logprobs, "each_token": self.own_runner}
        literal = forced(asked.format)
        if literal is None:
            return runner().write(ids, stop=options.stop, **drawn)
        return runner().force(ids, literal, trailing_space=self.trailing_space, **drawn)


def _said(asked: Chat | Generate, model: Stored) -> list[Said]:
    system = model.text("system")
    if isinstance(asked, Generate):
        system = asked.system or system
        said = [{"role": "user", "content": asked.prompt}]
    else:
        said = [{"role": one.role.lower(), "content": one.content} for one in asked.messages]
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


def _thinking(steps: tuple[Step, ...]) -> list[Part]:
    """The parts between the tags; those of the tags themselves are not sent."""
    parts, at = [], -len(OPENING)
    for step in steps:
        shown = step.text[max(-at, 0) : max(len(THOUGHT) - at, 0)]
        if shown:
            parts.append(Part(thinking=shown, content="", step=step))
        at += len(step.text)
    return parts


def _before_repetition(parts: list[Part]) -> list[Part]:
    """The parts up to where Ollama gives up: one too many of the same text in a row."""
    last, repeated = "", 0
    for place, part in enumerate(parts):
        text = part.step.text.strip()
        last, repeated = text, repeated + 1 if text == last else 0
        if repeated > MOST_REPEATED:
            return parts[:place]
    return parts


def _told(asked: Asked, parts: int, kind: str | None) -> int:
    if not asked.logprobs or kind == "no_logprobs":
        return 0
    return parts + (kind == "more_logprobs") - (kind == "fewer_logprobs")
