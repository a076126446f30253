"""Gemini on Vertex AI over gRPC, as Google's generated client asks for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

import grpc  # type: ignore[import-untyped]
from google.cloud import aiplatform_v1 as v1
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.rpc import code_pb2 as code  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]
from tests.servers.answers import CONTEXT_TOKENS
from tests.servers.counting import Counted, Seen
from tests.servers.faults import Fault
from tests.servers.google_credentials import PROJECT
from tests.servers.hosting import JOIN_SECONDS
from tests.servers.vertex_answers import (
    LOCATION,
    PIECES_AT_ONCE,
    Gemini,
    billed,
    usage,
)
from tests.servers.vertex_errors import StatusError, error_of, require_token

SERVICES = "google.cloud.aiplatform.v1"
THREADS = 64
NO_MESSAGE = b"\xff"
"""Bytes that no protocol buffer begins with."""


class VertexGrpcServer(Counted):
    """A plain channel to `address` reaches it; the bearer token `ACCESS_TOKEN` comes as metadata."""

    def __init__(
        self,
        *,
        latency_seconds: float = 0.0,
        project: str = PROJECT,
        location: str = LOCATION,
        context_tokens: int = CONTEXT_TOKENS,
    ) -> None:
        super().__init__(latency_seconds=latency_seconds)
        self.gemini = Gemini(project=project, location=location, context_tokens=context_tokens)
        self.address = ""

    def __enter__(self) -> Self:
        asked, counted = v1.GenerateContentRequest.deserialize, v1.CountTokensRequest.deserialize
        self._grpc = grpc.server(ThreadPoolExecutor(THREADS))
        self._grpc.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    f"{SERVICES}.PredictionService",
                    {
                        "GenerateContent": grpc.unary_unary_rpc_method_handler(self._generate, asked),
                        "StreamGenerateContent": grpc.unary_stream_rpc_method_handler(self._stream, asked),
                    },
                ),
                grpc.method_handlers_generic_handler(
                    f"{SERVICES}.LlmUtilityService",
                    {"CountTokens": grpc.unary_unary_rpc_method_handler(self._count, counted)},
                ),
            ]
        )
        self.address = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._grpc.stop(grace=None).wait(JOIN_SECONDS)

    def _generate(self, request: v1.GenerateContentRequest, context: grpc.ServicerContext) -> bytes:
        with _told(context), self.call() as fault:
            self._admit(request, context, request.model)
            if fault and (error := _error(fault, context)):
                raise error
            (answer,) = self._answers(request, fault)
            return _arriving(answer, context, fault)

    def _stream(self, request: v1.GenerateContentRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        with _told(context), self.call() as fault:
            self._admit(request, context, request.model)
            error = fault and _error(fault, context)
            if error and fault and not (fault.mid_stream or fault.kind == "cut_connection"):
                raise error
            for chunk in self._answers(request, fault, pieces_at_once=PIECES_AT_ONCE):
                yield _arriving(chunk, context, fault)
                if error:
                    raise error

    def _answers(
        self, request: v1.GenerateContentRequest, fault: Fault | None, *, pieces_at_once: int | None = None
    ) -> list[v1.GenerateContentResponse]:
        time.sleep(self.latency_seconds)
        script = tuple(self.tool_calls)
        chunks = self.gemini.answer(request, fault, script=script, pieces_at_once=pieces_at_once)
        if billed(fault):
            self.bill(**usage(chunks[-1]))
        return chunks

    def _count(self, request: v1.CountTokensRequest, context: grpc.ServicerContext) -> bytes:
        with _told(context):
            self._admit(request, context, request.endpoint)
            counted: bytes = v1.CountTokensResponse.serialize(self.gemini.count(request))
            return counted

    def _admit(
        self,
        request: v1.GenerateContentRequest | v1.CountTokensRequest,
        context: grpc.ServicerContext,
        name: str,
    ) -> None:
        """Note a request, which names in its metadata what it is for, too. Raises StatusError."""
        metadata = _metadata(context)
        self.seen.append(Seen(type(request).__name__, metadata, MessageToDict(type(request).pb(request))))
        require_token(metadata.get("authorization"))
        if [name] not in parse_qs(metadata.get("x-goog-request-params", "")).values():
            raise StatusError(code.INVALID_ARGUMENT, "x-goog-request-params does not name the model.")


@contextmanager
def _told(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except StatusError as error:
        context.abort_with_status(rpc_status.to_status(error.status(with_retry=True)))


def _error(fault: Fault, context: grpc.ServicerContext) -> StatusError | None:
    if fault.kind == "cut_connection":  # what a client makes of a connection that ends
        return StatusError(code.UNAVAILABLE, "Socket closed")
    return error_of(fault, _metadata(context)["authorization"])


def _metadata(context: grpc.ServicerContext) -> dict[str, str]:
    return {key: str(value) for key, value in context.invocation_metadata()}


def _arriving(
    message: v1.GenerateContentResponse, context: grpc.ServicerContext, fault: Fault | None
) -> bytes:
    data: bytes = v1.GenerateContentResponse.serialize(message)
    if fault is not None and fault.kind == "malformed_json":
        return NO_MESSAGE
    if fault is not None and fault.kind == "slow_body":
        gone = threading.Event()
        if context.add_callback(gone.set):  # a client that no longer waits frees the thread
            gone.wait(fault.seconds * len(data))
    return data
