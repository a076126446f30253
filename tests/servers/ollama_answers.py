"""What the bundled model answers in the place of Ollama's models, from the prompt to what is told of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

from tests.servers.faults import Fault
from tests.servers.ollama_errors import OllamaError
from tests.servers.ollama_prompts import Said, fitted, forced, messages_of
from tests.servers.ollama_requests import Asked, Chat, Generate, Options, options_of
from tests.servers.ollama_runner import Entry, Ran, Step, runner
from tests.servers.ollama_store import Stored
from tests.servers.scripts import ToolCall

THOUGHT = "It is in the record."
OPENING, CLOSING = "<think>", "</think>"
CUT_TOKENS = 8
MOST_REPEATED = 30
DEFAULT_CONTEXT_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Part:
    """One chunk: what it shows, and the step that wrote it. `call`: of a tool; its text is not shown."""

    thinking: str
    content: str
    step: Step
    call: dict[str, Any] | None = None


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
            if part.content or part.thinking or part.call or told:
                yield chunk(self.asked, part.content, part.thinking, call=part.call, logprobs=told)
        if not self.given_up:
            yield chunk(self.asked, "", "", done=self.finish) | self._counts()

    def whole(self) -> dict[str, Any]:
        """The same at once."""
        told = [entry for one in self.chunks() for entry in one.get("logprobs", ())]
        content = "".join(part.content for part in self.parts)
        thinking = "".join(part.thinking for part in self.parts)
        if self.given_up:
            return chunk(self.asked, content, thinking, logprobs=told)
        call = self.parts[-1].call if self.parts else None
        whole = chunk(self.asked, content, thinking, call=call, done=self.finish, logprobs=told)
        return whole | self._counts()

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
    asked: Asked,
    content: str,
    thinking: str,
    *,
    call: dict[str, Any] | None = None,
    done: str = "",
    logprobs: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """One object of an answer; what is empty is left out as Go leaves it out."""
    thought = {"thinking": thinking} if thinking else {}
    said: dict[str, Any] = {"response": content, **thought}
    if isinstance(asked, Chat):
        calls = {"tool_calls": [call]} if call else {}
        said = {"message": {"role": "assistant", "content": content, **thought, **calls}}
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
        said = messages_of(asked, model)
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

    def answer(
        self, asked: Chat | Generate, model: Stored, fault: Fault | None, script: Sequence[ToolCall] = ()
    ) -> Answer:
        """Answer, or say too little, as the fault wants; or call a tool, as the script wants.

        Raises OllamaError.
        """
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
            call = asked.next_call(script) if isinstance(asked, Chat) else None
            ran = self._run([*ids, *thought_ids], asked, options, room - len(thought_ids), call)
            parts += self._calling(ran, call) if call else _showing(ran)
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

    def _run(
        self, ids: list[int], asked: Asked, options: Options, max_tokens: int, call: ToolCall | None
    ) -> Ran:
        seed = next(self._numbers) if options.seed < 0 else options.seed
        drawn: dict[str, Any] = {"max_tokens": max_tokens, "temperature": options.temperature, "seed": seed}
        drawn |= {"top": asked.top_logprobs, "each_token": self.own_runner}
        literal = call.text.encode() if call else forced(asked.format)
        if literal is None:
            return runner().write(ids, stop=options.stop, **drawn)
        trailing_space = self.trailing_space and call is None
        return runner().force(ids, literal, trailing_space=trailing_space, **drawn)

    def _calling(self, ran: Ran, call: ToolCall) -> list[Part]:
        """The parts of a call, which the last one tells; one that is cut short is shown as text."""
        if ran.finish == "length":
            return _showing(ran)
        function = {"index": 0, "name": call.name, "arguments": dict(call.arguments)}
        told = {"id": f"call_{next(self._numbers):08x}", "function": function}
        hidden = [Part(thinking="", content="", step=step) for step in ran.steps]
        return [*hidden[:-1], replace(hidden[-1], call=told)]


def _showing(ran: Ran) -> list[Part]:
    return [Part(thinking="", content=step.text, step=step) for step in ran.steps]


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
