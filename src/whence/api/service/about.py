"""The routes that tell of the service: models, schema, whether it is up, metrics, documentation."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, PlainTextResponse

from whence.api.service import docs, metrics
from whence.api.service.models import ModelRecord
from whence.api.service.openapi import problems
from whence.api.service.problems import ProblemError
from whence.api.service.settings import ModelName
from whence.api.service.state import Service
from whence.api.service.work import while_connected
from whence.explain.schema import Explanation

SCHEMA_TYPE = "application/schema+json"


class ModelList(BaseModel):
    """The models of this server."""

    default_model: ModelName | None = Field(description="Of requests that name none; null: they must.")
    models: list[ModelRecord]


class Status(BaseModel):
    """How the server is."""

    status: str


def routes(service: Service) -> APIRouter:
    """All routes but those of explanations."""
    router = APIRouter()
    schema = json.dumps(Explanation.model_json_schema()).encode()

    @router.get("/v1/models", tags=["models"], responses=problems())
    async def list_models() -> ModelList:
        """The models that can be asked, with their access and methods; null for one not loaded yet."""
        return ModelList(
            default_model=service.settings.default_model,
            models=[model.known() for model in service.models.values()],
        )

    @router.get("/v1/models/{name}", tags=["models"], responses=problems(404, 502, 503, 504))
    async def show_model(request: Request, name: str) -> ModelRecord:
        """One model; it is loaded, where that is not done yet, to see what it can."""
        model = service.model(name)
        return await while_connected(
            request, model.record(), poll_seconds=service.settings.server.poll_seconds
        )

    @router.get(
        "/v1/schema",
        tags=["schema"],
        response_class=Response,
        responses=problems()
        | {200: {"description": "JSON Schema.", "content": {SCHEMA_TYPE: {"schema": {"type": "object"}}}}},
    )
    async def read_schema() -> Response:
        """The JSON Schema of an explanation."""
        return Response(schema, media_type=SCHEMA_TYPE)

    @router.get("/healthz", tags=["server"], responses=problems())
    async def healthz() -> Status:
        """The process answers."""
        return Status(status="ok")

    @router.get("/readyz", tags=["server"], responses=problems(503))
    async def readyz() -> Status:
        """The models that are to be loaded at the start are there."""
        missing = [model for model in service.models.values() if model.preload and not model.loaded]
        if failed := [model.name for model in missing if model.load_failed]:
            raise ProblemError(
                503,
                "model-load",
                "A model cannot be loaded.",
                f"The log of the server says why: {', '.join(failed)}.",
            )
        if missing:
            raise ProblemError(
                503, "not-ready", "Models are being loaded.", "Ask again.", headers={"Retry-After": "5"}
            )
        return Status(status="ready")

    @router.get("/metrics", tags=["server"], response_class=PlainTextResponse, responses=problems())
    async def read_metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type=metrics.MEDIA_TYPE)

    @router.get("/docs", include_in_schema=False)
    async def show_docs(request: Request) -> HTMLResponse:
        """The OpenAPI document as a page."""
        return HTMLResponse(
            docs.page(request.app.openapi()), headers={"Content-Security-Policy": docs.POLICY}
        )

    return router
