"""Problem documents of the FastAPI application, in its handlers and in its schema."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from config.base import plain_words
from middlewares.exchange import Refusal

PROBLEM_SCHEMA = "ProblemDocument"
NOT_OF_FASTAPI = "default"
_MEDIA_TYPE = "application/problem+json"
_MEANINGS = {
    400: "A parameter, or the body, cannot be used.",
    401: "The credential is missing or not valid.",
    403: "The credential does not cover this request.",
    404: "There is nothing of this name, or it is another app's.",
    408: "The body did not arrive in time.",
    409: "The record has ended, or is in another state that does not allow this.",
    413: "The body is too large.",
    429: "Too many requests, or too many refused credentials.",
    431: "The headers are too large or too many.",
    500: "Tollgate failed.",
    503: "Redis, or the history, cannot be reached.",
}
"""Every error that a route can return, the same for all: which of them a request meets depends on what it sends."""


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable and meant for programs.")
    request_id: str
    error: str = Field(description="The code, as clients of OAuth read it.")
    error_description: str = Field(description="The detail, likewise.")
    correlation_id: str = Field(description="The request id, as builders' clients read it.")


def problem_responses() -> dict[int | str, dict[str, Any]]:
    """Return the errors of any route, as its schema names them.

    The one under `NOT_OF_FASTAPI` only keeps FastAPI from adding its own 422, which no route returns.
    """
    content = {_MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{PROBLEM_SCHEMA}"}}}
    named: dict[int | str, dict[str, Any]] = {
        status: {"description": meaning, "content": content} for status, meaning in _MEANINGS.items()
    }
    return {**named, NOT_OF_FASTAPI: {"description": "", "content": content}}


async def raise_invalid(_: Request, error: Exception) -> Response:
    """Turn FastAPI's own 422 into a `Refusal` that names each place, and nothing of what was sent there."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    found = [(_place(each["loc"]), _message(each)) for each in error.errors()]
    if any(each["type"] == "json_invalid" for each in error.errors()):
        raise Refusal(400, "malformed_json", "The body is not JSON.")
    detail = "; ".join(f"{place}: {message}" for place, message in found)
    members = {"errors": [{"place": place, "message": message} for place, message in found]}
    raise Refusal(400, "invalid_parameter", detail, members=members)


def _place(location: tuple[int | str, ...]) -> str:
    """Return where the error is: `body.email`, `query.limit`. A name that a client made up is cut."""
    return ".".join(str(part)[:64] for part in location)


def _message(error: dict[str, Any]) -> str:
    """Return the message in our words."""
    return plain_words(error["msg"])
