"""The OpenAPI document of the client routes, made from the route table, so that the two cannot disagree."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from middlewares.json_codec import to_json
from middlewares.routes import ROUTES
from middlewares.routing.route import Route
from middlewares.routing.traits import AnsweredBy, Body, Dialect
from proxy.api.problems import PROBLEM_SCHEMA, ProblemDocument

PATH = "/api/v1/data-openapi.json"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_MANY_SEGMENTS = frozenset({"path", "any", "file"})
_BODIES = {
    Body.JSON: {"application/json": {"schema": {"type": "object"}}},
    Body.FORM: {"multipart/form-data": {"schema": {"type": "object"}}},
    Body.JOB: {"application/json": {}, "*/*": {}},
    Body.STREAMED: {"*/*": {}},
}
_JOB_HEADER = {
    "name": "Livepeer",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "format": "byte"},
    "description": "The job: base64 of a JSON object with `capability`, `request`, `parameters`, `timeout_seconds`.",
}

_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "A key of the client's choice: repeated with it, the request is done and billed once.",
}


def data_schema() -> dict[str, Any]:
    """Return the document. Bodies and responses are the gateway's own; a refusal is a problem document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        for number, path in enumerate(route.paths):
            methods = [method for method in route.methods.split() if method != "OPTIONS"]
            paths[path] = {method.lower(): _operation(route, path, method, number) for method in methods}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tollgate: client routes", "version": version("naap-tollgate")},
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": {PROBLEM_SCHEMA: ProblemDocument.model_json_schema()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of a user."},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key."},
            },
        },
    }


def data_schema_route() -> StarletteRoute:
    """Return the route of the document, which needs no credential and is made once."""
    encoded = to_json(data_schema())

    async def endpoint(_: Request) -> Response:
        return Response(encoded, media_type="application/json")

    return StarletteRoute(PATH, endpoint, methods=["GET"])


def _operation(route: Route, path: str, method: str, number: int) -> dict[str, Any]:
    suffix = f"-{number + 1}" if number else ""
    parameters = [_parameter(name) for name in _PLACEHOLDER.findall(path)]
    if route.body is Body.JOB:
        parameters.append(_JOB_HEADER)
    if route.repeatable and method == "POST":
        parameters.append(_KEY_HEADER)
    operation: dict[str, Any] = {
        "operationId": f"{route.name}-{method.lower()}{suffix}",
        "tags": [route.workload],
        "summary": _summary(route),
        "parameters": parameters,
        "responses": {
            "2XX": {"description": "The gateway's response."},
            "default": {
                "description": "A refusal.",
                "content": {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{PROBLEM_SCHEMA}"}}},
            },
        },
    }
    if method in ("POST", "PUT", "PATCH"):
        operation["requestBody"] = {"required": route.body in (Body.JSON, Body.FORM), "content": _BODIES[route.body]}
    return operation


def _parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name in _MANY_SEGMENTS:
        description = "May hold slashes."
    else:
        description = "A name."
        schema["pattern"] = "^[A-Za-z0-9._-]{1,200}$"
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _summary(route: Route) -> str:
    kind = "Begins work" if route.begins_work else "Serves work or files that exist"
    dialect = ", in the format of OpenAI clients" if route.dialect is Dialect.OPENAI else ""
    by = "" if route.answered_by is AnsweredBy.GATEWAY else "; Tollgate itself responds"
    return f"{kind}: {route.workload}{dialect}{by}"
