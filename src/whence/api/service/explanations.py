"""The routes of explanations: make one, read it again, see it as a page, fetch its attention by head."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import HTMLResponse

from whence.api.service import tensor
from whence.api.service.bodies import ExplanationBody
from whence.api.service.logs import describe, log
from whence.api.service.models import Model
from whence.api.service.openapi import problems
from whence.api.service.problems import ProblemError, from_whence, unexpected
from whence.api.service.requests import require_json
from whence.api.service.state import Service
from whence.api.service.store import Kept
from whence.api.service.tensor import AttentionChunk, View
from whence.api.service.work import Steps, explain, until_shutdown, while_connected
from whence.explain.render.html import to_html
from whence.explain.render.viewer import to_viewer
from whence.explain.schema import Explanation
from whence.explain.tensor import BlockName
from whence.providers.errors import WhenceError

EVENT_STREAM = "text/event-stream"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
LARGEST_INDEX = 2**31 - 1
FAREWELL_SECONDS = 1
"""The last of `shutdown_seconds`: a stream that is not done says so before uvicorn closes it."""
Attention = Annotated[
    View,
    Query(description="Of the attention tensor: nothing, all but the weights of the heads, or everything."),
]
Interactive = Annotated[
    bool, Query(description="The viewer with all its data in one file, and not the page without script.")
]
Id = Annotated[str, Path(description="The `id` of an explanation.")]
Index = Annotated[int, Path(ge=0, le=LARGEST_INDEX)]


def routes(service: Service) -> APIRouter:
    """The routes under /v1/explanations."""
    router = APIRouter(prefix="/v1/explanations", tags=["explanations"])

    @router.post(
        "",
        response_model=Explanation,
        dependencies=[Depends(require_json)],
        responses=problems(404, 415, 422, 501, 502, 503, 504)
        | {
            200: {
                "description": "The explanation; kept for a while under Content-Location. With `Accept: "
                "text/event-stream`: events `progress` (stage, done, total), and at last `explanation` or "
                "`problem`.",
                "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
            }
        },
    )
    async def make_explanation(
        request: Request, body: ExplanationBody, attention: Attention = "outline"
    ) -> Response:
        """Let a model answer, or take a given output, and explain each part of it by the sources."""
        model = service.model(body.model)
        arguments = body.to_arguments()
        if EVENT_STREAM in request.headers.get("accept", ""):
            model.queue.require_room()  # while there is still a status to say so
            shutdown = anyio.Event()
            return EventSourceResponse(
                _events(request, model, arguments, attention, shutdown),
                shutdown_event=shutdown,
                shutdown_grace_period=service.settings.server.shutdown_seconds,
            )
        explanation = await while_connected(
            request,
            explain(model, arguments, service.metrics),
            poll_seconds=service.settings.server.poll_seconds,
        )
        document = await _keep(request, explanation, attention)
        place = f"{router.prefix}/{explanation.id}"
        headers = {"Content-Location": place} if explanation.id in service.store else {}
        return Response(document, media_type="application/json", headers=headers)

    async def _keep(request: Request, explanation: Explanation, attention: View) -> bytes:
        """Keep an explanation; what is to be answered of it."""

        def pack() -> tuple[Kept, bytes]:
            kept = Kept(
                id=explanation.id,
                owner=request.state.owner,
                document=tensor.outline(explanation).model_dump_json().encode(),
                weights=tensor.weights(explanation),
            )
            return kept, tensor.view(kept.document, kept.weights, attention)

        kept, document = await asyncio.to_thread(pack)
        service.store.add(kept)
        return document

    async def _events(
        request: Request, model: Model, arguments: dict[str, Any], attention: View, shutdown: anyio.Event
    ) -> AsyncIterator[ServerSentEvent]:
        steps = Steps()
        work = explain(model, arguments | {"progress": steps.report}, service.metrics)
        seconds = service.settings.server.shutdown_seconds - FAREWELL_SECONDS
        task = asyncio.create_task(until_shutdown(work, shutdown, seconds=seconds))
        try:
            async for step in steps.during(task):
                told = {"stage": step.stage, "done": step.done, "total": step.total}
                yield ServerSentEvent(event="progress", data=json.dumps(told))
            document = await _keep(request, task.result(), attention)
            yield ServerSentEvent(event="explanation", data=document.decode())
        except Exception as error:  # noqa: BLE001 - the status is sent: an event must say it
            yield ServerSentEvent(event="problem", data=json.dumps(_problem(error, request)))
        finally:
            task.cancel()

    def _problem(error: Exception, request: Request) -> dict[str, Any]:
        if isinstance(error, WhenceError):
            error = from_whence(error)
        if not isinstance(error, ProblemError):
            fields = {"request": request.state.id, **describe(error)}
            log.error("request failed", extra={"fields": fields})
            error = unexpected()
        return error.document(request.state.id)

    @router.get(
        "/{explanation_id}.html",
        response_class=HTMLResponse,
        responses=problems(404, 422),
    )
    async def show_explanation(
        request: Request, explanation_id: Id, interactive: Interactive = False
    ) -> HTMLResponse:
        """One of the last explanations as a page that runs nothing of others and loads nothing."""
        kept = service.store.get(explanation_id, request.state.owner)
        page = await asyncio.to_thread(_page, kept, interactive)
        return HTMLResponse(page, headers=_page_headers(page))

    @router.get(
        "/{explanation_id}",
        response_model=Explanation,
        responses=problems(404, 422),
    )
    async def read_explanation(
        request: Request, explanation_id: Id, attention: Attention = "outline"
    ) -> Response:
        """One of the last explanations."""
        kept = service.store.get(explanation_id, request.state.owner)
        document = await asyncio.to_thread(tensor.view, kept.document, kept.weights, attention)
        return Response(document, media_type="application/json")

    @router.get(
        "/{explanation_id}/attention/{block}/{layer}/{head}",
        response_model=AttentionChunk,
        responses=problems(404),
    )
    async def read_attention(
        request: Request, explanation_id: Id, block: BlockName, layer: Index, head: Index
    ) -> Response:
        """The attention of one head; the explanation was asked for with `attention: true`."""
        kept = service.store.get(explanation_id, request.state.owner)
        place = (block, layer, head)
        document = await asyncio.to_thread(tensor.chunk, kept.document, kept.weights, place)
        return Response(document, media_type="application/json")

    return router


def _page(kept: Kept, interactive: bool) -> str:
    if not interactive:
        return to_html(Explanation.model_validate_json(kept.document))
    return to_viewer(Explanation.model_validate_json(tensor.view(kept.document, kept.weights, "all")))


def _page_headers(page: str) -> dict[str, str]:
    """The page's own policy as a header, which no text in the page can come before."""
    own = POLICY.search(page)
    assert own is not None  # noqa: S101 - every page of ours has one
    return {
        "Content-Security-Policy": f"{html.unescape(own[1])}; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
