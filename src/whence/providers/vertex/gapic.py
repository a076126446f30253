"""Vertex AI over gRPC, by Google's generated clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.lowlevel
import grpc  # type: ignore[import-untyped]
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.cloud.aiplatform_v1 import types
from google.cloud.aiplatform_v1.services.llm_utility_service import LlmUtilityServiceAsyncClient
from google.cloud.aiplatform_v1.services.llm_utility_service.transports.grpc_asyncio import (
    LlmUtilityServiceGrpcAsyncIOTransport,
)
from google.cloud.aiplatform_v1.services.prediction_service import PredictionServiceAsyncClient
from google.cloud.aiplatform_v1.services.prediction_service.transports.grpc_asyncio import (
    PredictionServiceGrpcAsyncIOTransport,
)

from whence.providers.errors import WhenceError
from whence.providers.vertex.access import Access, refused
from whence.providers.vertex.failures import (
    Failure,
    LogprobsRefusedError,
    as_cause,
    error_of,
    malformed,
    out_of_reach,
    request_id_of,
    retry_after_of,
)
from whence.providers.vertex.place import Model
from whence.providers.vertex.wire import MOST_ALTERNATIVES, Gathered, Question, Reply

OPTIONS = (
    ("grpc.max_send_message_length", -1),  # an answer with its log-probabilities outgrows the usual 4 MB
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.max_reconnect_backoff_ms", 2000),  # until then a call would meet the last failure again
)


class GrpcTransport:
    """A channel of one event loop. `access` was made ready by whoever asks.

    The token goes as metadata with each call, so that the channel asks the network for nothing by itself.
    """

    def __init__(self, model: Model, access: Access) -> None:
        self._model = model
        self._access = access
        self._channel = (
            grpc.aio.secure_channel(model.place.target, grpc.ssl_channel_credentials(), OPTIONS)
            if model.place.secure
            else grpc.aio.insecure_channel(model.place.target, OPTIONS)
        )
        self._predictions = PredictionServiceAsyncClient(
            transport=PredictionServiceGrpcAsyncIOTransport(channel=self._channel)
        )
        self._utilities = LlmUtilityServiceAsyncClient(
            transport=LlmUtilityServiceGrpcAsyncIOTransport(channel=self._channel)
        )

    async def ask(self, question: Question) -> AsyncGenerator[Reply]:
        """The reply as it grows: whether a stream tells log-probabilities, nobody has promised."""
        request = types.GenerateContentRequest(
            model=self._model.resource,
            contents=_contents(question),
            system_instruction=_system(question),
            generation_config=_config(question),
        )
        gathered = _Gathered()
        async with self._errors():
            if question.logprobs:
                response = await self._predictions.generate_content(request, metadata=self._metadata())
                yield gathered.add(_message(response))
                return
            stream: Any = await self._predictions.stream_generate_content(request, metadata=self._metadata())
            try:
                async for response in stream:
                    yield gathered.add(_message(response))
            finally:
                stream.cancel()

    async def count(self, question: Question) -> int:
        """Tokens of the system text and the turns."""
        request = types.CountTokensRequest(
            endpoint=self._model.resource,
            model=self._model.resource,
            contents=_contents(question),
            system_instruction=_system(question),
        )
        async with self._errors():
            counted = await self._utilities.count_tokens(request, metadata=self._metadata())
        return int(_message(counted).total_tokens)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._channel.close()

    def _metadata(self) -> list[tuple[str, str]]:
        return [(name.lower(), value) for name, value in self._access.headers().items()]

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            # gRPC raises one of its own, which anyio would not know for that of its scope.
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise
        except (GoogleAPICallError, grpc.RpcError) as error:
            raise self._error_of(error) from as_cause(error, self._access.secrets)
        except GoogleAuthError as error:
            raise refused(error) from error

    def _error_of(self, error: Exception) -> WhenceError | LogprobsRefusedError:
        failure = _failure(error)
        if failure is None:
            return out_of_reach(error, self._access.secrets)
        return error_of(failure, self._model, self._access.secrets)


def _message(response: Any) -> Any:
    """The message itself, which is quicker to read; gRPC gives None for bytes that are none."""
    if response is None:
        raise malformed()
    return type(response).pb(response)


class _Gathered(Gathered):
    """What was not sent is the default of its kind; messages as the protocol buffers have them."""

    def has(self, message: Any, name: str) -> bool:
        return bool(message.HasField(name))

    def enum(self, message: Any, name: str) -> str:
        number = getattr(message, name)
        value = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number.get(number)
        return "" if not number else value.name if value else str(number)


def _contents(question: Question) -> list[types.Content]:
    return [types.Content(role=role, parts=[types.Part(text=text)]) for role, text in question.turns]


def _system(question: Question) -> types.Content | None:
    if not question.system:
        return None
    return types.Content(role="user", parts=[types.Part(text=text) for text in question.system])


def _config(question: Question) -> types.GenerationConfig:
    return types.GenerationConfig(
        max_output_tokens=question.max_tokens,
        temperature=question.temperature,
        seed=question.seed,
        response_logprobs=True if question.logprobs else None,
        logprobs=MOST_ALTERNATIVES if question.logprobs else None,
    )


def _failure(error: Exception) -> Failure | None:
    """What the status of a call says; None where there is none."""
    call = getattr(error, "response", error)
    if not isinstance(call, grpc.aio.AioRpcError):
        return None
    trailing = call.trailing_metadata() or ()
    headers = {name: value for name, value in trailing if isinstance(value, str)}
    details = error.details if isinstance(error, GoogleAPICallError) else ()
    kinds: dict[str, Any] = {type(detail).__name__: detail for detail in details}
    reason, wait, quota = (kinds.get(name) for name in ("ErrorInfo", "RetryInfo", "QuotaFailure"))
    seconds = wait.retry_delay.ToNanoseconds() / 1e9 if wait else -1.0
    request_id = request_id_of(headers) or (
        kinds["RequestInfo"].request_id if "RequestInfo" in kinds else None
    )
    return Failure(
        status=call.code().name,
        message=call.details() or "",
        reason=reason.reason if reason else "",
        quotas=tuple(str(violation) for violation in quota.violations) if quota else (),
        retry_after_seconds=seconds if seconds >= 0 else retry_after_of(headers),
        request_id=request_id,
    )
