"""The route of plans: what an explanation would cost at most."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from whence.api.service.bodies import ExplanationBody
from whence.api.service.openapi import problems
from whence.api.service.requests import require_json
from whence.api.service.state import Service
from whence.api.service.work import while_connected
from whence.explain.plan import Plan


def routes(service: Service) -> APIRouter:
    """The route /v1/plans."""
    router = APIRouter(prefix="/v1/plans", tags=["explanations"])

    @router.post(
        "", dependencies=[Depends(require_json)], responses=problems(404, 415, 422, 501, 502, 503, 504)
    )
    async def make_plan(request: Request, body: ExplanationBody) -> Plan:
        """What the explanation of the same body would cost at most; the model writes nothing."""
        model = service.model(body.model)
        return await while_connected(
            request,
            model.plan(body.to_arguments()),
            poll_seconds=service.settings.server.poll_seconds,
        )

    return router
