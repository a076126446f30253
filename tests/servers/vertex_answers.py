"""What Gemini on Vertex AI answers, whatever the wire: all is said in Google's own protocol buffers."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from google.cloud import aiplatform_v1 as v1
from google.rpc import code_pb2 as code  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]
from tests.servers.answers import CONTEXT_TOKENS, Written, writer
from tests.servers.faults import Fault, Kind
from tests.servers.scripts import ToolCall, next_call
from tests.servers.vertex_errors import LOGPROBS_REFUSED, StatusError
from tests.servers.vertex_turns import made, offered, turns_of

LOCATION = "europe-west4"
PIECES_AT_ONCE = 8
"""How many tokens come in one chunk of a stream."""
THOUGHT = "The record is read, line by line."
THOUGHT_TOKENS = 8
SIGNATURE = b"the signature of a thought"
MOST_LOGPROBS = 20
Finish = v1.Candidate.FinishReason
FINISHES = {"stop": Finish.STOP, "length": Finish.MAX_TOKENS}


@dataclass(frozen=True, kw_only=True)
class Model:
    """What one model does. One that thinks tells its thoughts unasked, before its answer.

    `signs`: whether it signs its calls of tools, and wants the signatures back.
    """

    logprobs: bool
    thinks: bool
    signs: bool


MODELS = {
    "gemini-2.5-flash": Model(logprobs=True, thinks=False, signs=False),
    "gemini-2.5-pro": Model(logprobs=True, thinks=True, signs=False),
    "gemini-3.5-flash": Model(logprobs=False, thinks=False, signs=True),
    "gemini-3.5-pro": Model(logprobs=False, thinks=True, signs=True),
}


def billed(fault: Fault | None) -> bool:
    """Whether a call that was answered is paid for: not one whose answer never comes whole."""
    return fault is None or not (fault.mid_stream or fault.kind in ("cut_connection", "malformed_json"))


def usage(response: v1.GenerateContentResponse) -> dict[str, int]:
    """The tokens of a whole answer as they are billed: thoughts are output."""
    tokens = response.usage_metadata
    return {
        "input_tokens": tokens.prompt_token_count,
        "output_tokens": tokens.candidates_token_count + tokens.thoughts_token_count,
    }


class Gemini:
    """Answers with the bundled model. Its methods block, are for any thread, and raise StatusError.

    `refuses`: what is refused where something is: the `prompt`, which gets no candidate, or the `answer`.
    """

    def __init__(self, *, project: str, location: str, context_tokens: int) -> None:
        self.context_tokens = context_tokens
        self.refuses: Literal["prompt", "answer"] = "answer"
        self._parent = f"projects/{project}/locations/{location}"
        self._seeds = itertools.count()

    def count(self, request: v1.CountTokensRequest) -> v1.CountTokensResponse:
        """How many tokens the model would read."""
        turns = turns_of(request, signed=self._model(request.endpoint).signs)
        characters = sum(len(re.sub(r"\s", "", text)) for _, text in turns)
        return v1.CountTokensResponse(
            total_tokens=writer().count(turns), total_billable_characters=characters
        )

    def answer(
        self,
        request: v1.GenerateContentRequest,
        fault: Fault | None,
        *,
        script: Sequence[ToolCall] = (),
        pieces_at_once: int | None = None,
    ) -> list[v1.GenerateContentResponse]:
        """The answer, in chunks of so many tokens where that is given; the last tells how it ended.

        Or a call of a tool, as the script wants.
        """
        model = self._model(request.model)
        turns = turns_of(request, signed=model.signs)
        config = request.generation_config
        if config.logprobs and not (config.response_logprobs and config.logprobs <= MOST_LOGPROBS):
            raise StatusError(
                code.INVALID_ARGUMENT,
                f"logprobs is from 1 to {MOST_LOGPROBS}, and goes with response_logprobs.",
            )
        if config.response_logprobs and not model.logprobs:
            raise StatusError(code.INVALID_ARGUMENT, LOGPROBS_REFUSED)
        kind = fault.kind if fault else None
        read = writer().count(turns)
        if kind == "context_length" or read > self.context_tokens:
            most = min(self.context_tokens, read - 1)
            raise StatusError(
                code.INVALID_ARGUMENT,
                f"The input token count ({read}) exceeds the maximum number of tokens allowed ({most}).",
            )
        reply = _Reply(request.model, read)
        if kind == "refusal":
            return [reply.refused(self.refuses)]
        if kind == "no_text":
            return [reply.end(Finish.STOP)]
        if model.thinks or kind == "thinking_only":
            reply.think()
        room = max(CONTEXT_TOKENS - read, 1)
        room = min(config.max_output_tokens or room, room) - reply.thought_tokens
        if room <= 0 or kind == "thinking_only":
            return [reply.end(Finish.MAX_TOKENS)]
        call = next_call(script, offered=offered(request), made=made(request.contents))
        if call is not None:
            return [reply.calling(call, signature=SIGNATURE if model.signs else b"")]
        written = writer().write(
            turns,
            max_tokens=min(room, 5) if kind == "max_tokens" else room,
            temperature=config.temperature if "temperature" in config else 1.0,
            seed=config.seed if "seed" in config else next(self._seeds),
            top=config.logprobs,
        )
        steps = _steps(written, kind) if config.response_logprobs else []
        return reply.chunks(written, steps, pieces_at_once or max(len(written.pieces), 1))

    def _model(self, name: str) -> Model:
        parent, _, model = name.partition("/publishers/google/models/")
        if parent != self._parent:
            raise StatusError(
                code.PERMISSION_DENIED,
                f"Permission 'aiplatform.endpoints.predict' denied on '{name}' (or it may not exist).",
                ErrorInfo(reason="IAM_PERMISSION_DENIED", domain="aiplatform.googleapis.com"),
            )
        if model not in MODELS:
            raise StatusError(
                code.NOT_FOUND,
                f"Publisher Model `{name}` was not found or your project does not have access to it. "
                "Please ensure you are using a valid model version.",
            )
        return MODELS[model]


@dataclass(frozen=True)
class _Step:
    """One token of an answer as its log-probabilities tell of it."""

    chosen: v1.LogprobsResult.Candidate
    top: v1.LogprobsResult.TopCandidates


def _steps(written: Written, kind: Kind | None) -> list[_Step]:
    steps = [
        _Step(
            _logprob(piece.text, piece.id, piece.logprob_nats),
            v1.LogprobsResult.TopCandidates(candidates=[_logprob(*other) for other in piece.top]),
        )
        for piece in written.pieces
    ]
    if kind == "nan_logprob":
        steps[0].chosen.log_probability = math.nan
    if kind == "fewer_logprobs":
        return steps[:-1]
    if kind == "more_logprobs":
        return [*steps, steps[-1]]
    return steps


def _logprob(token: str, token_id: int, nats: float) -> v1.LogprobsResult.Candidate:
    return v1.LogprobsResult.Candidate(token=token, token_id=token_id, log_probability=nats)


class _Reply:
    """An answer as it is put together. `read`: tokens of the prompt."""

    _numbers = itertools.count(1)

    def __init__(self, name: str, read: int) -> None:
        self._model = name.rpartition("/")[2]
        self._read = read
        self._id = f"answer-{next(self._numbers)}"
        self._parts: list[v1.Part] = []  # before any text
        self.thought_tokens = 0

    def think(self) -> None:
        """Begin with a thought."""
        self._parts.append(v1.Part(text=THOUGHT, thought=True))
        self.thought_tokens = THOUGHT_TOKENS

    def refused(self, what: Literal["prompt", "answer"]) -> v1.GenerateContentResponse:
        """No answer."""
        if what == "answer":
            response = self.end(Finish.SAFETY)
            del response.candidates[0].content
            return response
        feedback = v1.GenerateContentResponse.PromptFeedback
        response = self._response(0)
        response.prompt_feedback = feedback(block_reason=feedback.BlockedReason.PROHIBITED_CONTENT)
        return response

    def calling(self, call: ToolCall, *, signature: bytes) -> v1.GenerateContentResponse:
        """An answer that calls a tool."""
        function = v1.FunctionCall(name=call.name, args=dict(call.arguments))
        self._parts.append(v1.Part(function_call=function, thought_signature=signature))
        written_tokens = writer().count([("assistant", call.text)])
        return self._chunk("", [], first=True, finish=Finish.STOP, written_tokens=written_tokens)

    def end(self, reason: int) -> v1.GenerateContentResponse:
        """An answer that says nothing beside thoughts."""
        return self._chunk("", [], first=True, finish=reason, written_tokens=0)

    def chunks(self, written: Written, steps: Sequence[_Step], size: int) -> list[v1.GenerateContentResponse]:
        """An answer of `size` tokens at a time; steps that are too many come with the last."""
        starts = range(0, max(len(written.pieces), 1), size)
        return [
            self._chunk(
                "".join(piece.text for piece in written.pieces[start : start + size]),
                steps[start:] if start == starts[-1] else steps[start : start + size],
                first=start == 0,
                finish=FINISHES[written.finish] if start == starts[-1] else Finish.FINISH_REASON_UNSPECIFIED,
                written_tokens=written.output_tokens,
            )
            for start in starts
        ]

    def _chunk(
        self, text: str, steps: Sequence[_Step], *, first: bool, finish: int, written_tokens: int
    ) -> v1.GenerateContentResponse:
        parts = [*(self._parts if first else []), *([v1.Part(text=text)] if text else [])]
        content = v1.Content(role="model", parts=parts)
        candidate = v1.Candidate(content=content, finish_reason=finish)
        if steps:
            candidate.avg_logprobs = sum(step.chosen.log_probability for step in steps) / len(steps)
            candidate.logprobs_result = v1.LogprobsResult(
                chosen_candidates=[step.chosen for step in steps],
                top_candidates=[step.top for step in steps if step.top.candidates],
            )
        response = self._response(written_tokens if finish else None)
        response.candidates = [candidate]
        return response

    def _response(self, written_tokens: int | None) -> v1.GenerateContentResponse:
        """Everything but the candidate; with what is billed, where that is known."""
        response = v1.GenerateContentResponse(model_version=self._model, response_id=self._id)
        if written_tokens is not None:
            response.usage_metadata = v1.GenerateContentResponse.UsageMetadata(
                prompt_token_count=self._read,
                candidates_token_count=written_tokens,
                thoughts_token_count=self.thought_tokens,
                total_token_count=self._read + written_tokens + self.thought_tokens,
            )
        return response
