"""What every FastAPI application here has: problem documents in place of the default errors, and its schema."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from middlewares.json_codec import to_json
from proxy.api.application import EXCEPTION_HANDLERS
from proxy.api.audit.route import ACTION
from proxy.api.problems import NOT_OF_FASTAPI, PROBLEM_SCHEMA, ProblemDocument, problem_responses, raise_invalid

_NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""Requests are logged and counted by the response stage, once, and without what clients send."""


async def long_response(compose: Callable[[], BaseModel]) -> Response:
    """Return a response with the JSON of what `compose` returns, made in a thread.

    For documents as long as tenants make them: the worker has others to serve meanwhile.
    """
    text = await asyncio.to_thread(lambda: compose().model_dump_json(by_alias=True))
    return Response(text, media_type="application/json")


class JsonAPI(FastAPI):
    """FastAPI with problem documents, without pages, redirects and telemetry."""

    takes_head_as_get = True

    def __init__(
        self,
        *,
        title: str,
        openapi_path: str,
        security_schemes: Mapping[str, Any],
        security: Callable[[APIRoute], dict[str, Any]],
        handlers: Mapping[Any, Any] | None = None,
    ) -> None:
        """`security` returns what the schema says of who may call a route; `handlers` replace those of errors."""
        found: dict[Any, Any] = {**EXCEPTION_HANDLERS, RequestValidationError: raise_invalid, **(handlers or {})}
        super().__init__(
            title=title,
            version=version("naap-tollgate"),
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry=_NO_TELEMETRY,
            exception_handlers=found,
        )
        self.add_route(openapi_path, self._document, include_in_schema=False)
        self._security_schemes = security_schemes
        self._security = security
        self._encoded = b""
        self._encoding = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take HEAD as GET, which FastAPI does not; the server leaves out the body, and the log says HEAD."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await super().__call__(scope, receive, send)

    async def _document(self, _: Request) -> Response:
        async with self._encoding:
            if not self._encoded:  # takes tenths of a second, which neither a start nor another request should wait
                self._encoded = await asyncio.to_thread(lambda: to_json(self.openapi()))
        return Response(self._encoded, media_type="application/json")

    def serve(self, method: str, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route; its response model is what the endpoint says that it returns.

        `audit` is the action of the line that it writes, which every route has that changes something; several, where
        the request says which.
        """
        if (action := options.pop("audit", None)) is not None:
            options["openapi_extra"] = {ACTION: action}
        responses = {**problem_responses(), **options.pop("responses", {})}
        self.add_api_route(path, endpoint, methods=[method], responses=responses, **options)

    def openapi(self) -> dict[str, Any]:
        """Return the schema, made once, with who may call each route, and problem documents."""
        if self.openapi_schema is None:
            schema = get_openapi(title=self.title, version=self.version, routes=self.routes)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})[PROBLEM_SCHEMA] = ProblemDocument.model_json_schema()
            components["securitySchemes"] = self._security_schemes
            for route in self.routes:
                if isinstance(route, APIRoute):
                    for method in route.methods or ():
                        operation = schema["paths"][route.path_format][method.lower()]
                        operation |= self._security(route)
                        del operation["responses"][NOT_OF_FASTAPI]
            self.openapi_schema = schema
        return self.openapi_schema
