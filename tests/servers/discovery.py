"""The schema of Vertex AI's REST payloads, from Google's own discovery document.

google-api-python-client ships the document. Here it becomes JSON Schema, so that jsonschema can tell whether
a payload is one that the API takes or gives.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

DOCUMENT = Path(googleapiclient.__file__).parent / "discovery_cache/documents/aiplatform.v1.json"
PREFIX = "GoogleCloudAiplatformV1"

# What JSON stands for a protocol buffer's scalar: https://protobuf.dev/programming-guides/json
NOT_FINITE = {"enum": ["NaN", "Infinity", "-Infinity"]}
FORMATS: dict[str, dict[str, Any]] = {
    "int32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"type": ["string", "integer"], "pattern": r"^-?\d+$"},
    "float": {"anyOf": [{"type": "number"}, NOT_FINITE]},
    "double": {"anyOf": [{"type": "number"}, NOT_FINITE]},
    "byte": {"type": "string", "pattern": r"^[A-Za-z0-9+/_-]*={0,2}$"},
    "google-duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"},
    "google-datetime": {
        "type": "string",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
    },
}


def problem(name: str, payload: object, *, request: bool) -> str | None:
    """What is wrong with a payload, or None. `name`: of its schema, such as `GenerateContentRequest`.

    A `request` may spell a field as the protocol buffer does, too (`max_output_tokens`). Enums are taken by
    name only.
    """
    error = best_match(_validator(name, request).iter_errors(payload))
    return error and f"{error.json_path}: {error.message}"


@cache
def _validator(name: str, request: bool) -> Draft202012Validator:
    schemas = _document()["schemas"]
    definitions: dict[str, Any] = {}
    wanted = [PREFIX + name]
    while wanted:  # the document has 1,700 schemas, of which a payload uses 100
        reference = wanted.pop()
        if reference not in definitions:
            definitions[reference] = _json_schema(schemas[reference], request)
            wanted += re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(definitions[reference]))
    return Draft202012Validator({"$ref": f"#/$defs/{PREFIX}{name}", "$defs": definitions})


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return document


def _json_schema(node: dict[str, Any], request: bool) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    if "enum" in node:
        return {"enum": node["enum"]}
    if node["type"] == "any":
        return {}
    if node["type"] == "array":
        return {"type": "array", "items": _json_schema(node["items"], request)}
    if node["type"] != "object":
        return FORMATS[node["format"]] if "format" in node else {"type": node["type"]}
    fields = {name: _json_schema(field, request) for name, field in node.get("properties", {}).items()}
    if request:
        fields |= {re.sub("[A-Z]", lambda c: f"_{c[0].lower()}", name): f for name, f in fields.items()}
    others = node.get("additionalProperties")
    return {
        "type": "object",
        "properties": fields,
        "additionalProperties": _json_schema(others, request) if others else False,
    }
