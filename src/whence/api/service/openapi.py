"""The OpenAPI document: every error in it is a problem, and a key is asked for where one is needed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from whence.api.service.problems import MEDIA_TYPE, ProblemDocument

EVERYWHERE = (400, 401, 408, 413, 421, 500)
"""What any request may meet, whatever it asks."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that may end with these statuses, besides those of all routes."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {
        status: {"content": content, "description": f"{HTTPStatus(status).phrase}: a problem."}
        for status in sorted((*EVERYWHERE, *statuses))
    }


def document(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    """The document of an application. `keys`: whether it wants them."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = made["components"]
    # FastAPI says that any parameter may end with its own kind of 422.
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for operation in (operation for path in made["paths"].values() for operation in path.values()):
        if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {MEDIA_TYPE: None}):
            del operation["responses"]["422"]
    components["schemas"]["ProblemDocument"] = ProblemDocument.model_json_schema()
    if keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}]
    return made
