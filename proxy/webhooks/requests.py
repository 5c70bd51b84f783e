"""What gateways ask, and what they are told: bodies of the webhooks (gateway contract section 5). Pure."""

from __future__ import annotations

import hmac
import re
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from middlewares.exchange import Refusal

MAX_BODY = 1024 * 1024
"""Bytes; the largest body is a heartbeat's list of streams."""
NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
"""Of streams and manifests, as the gate's own routes take them."""
CREDENTIAL_PARAMETERS = ("key", "token")
"""Of an ingest URL's query; the first one counts."""

T = TypeVar("T")


class StreamRequest(msgspec.Struct, frozen=True):
    """May this live stream begin? (`-liveAIAuthWebhookUrl`)"""

    stream: str = ""
    stream_key: str = ""
    query_params: str = ""


class Heartbeat(msgspec.Struct, frozen=True):
    """These live streams run (`-liveAIHeartbeatURL`); null where none does."""

    ids: list[str] | None = None


class PushRequest(msgspec.Struct, frozen=True):
    """May this transcoding stream begin, or this recording be read? (`-authWebhookUrl`)"""

    url: str


def is_from_gateway(request: Request, secret: bytes) -> bool:
    """Whether a request shows the secret: in `x-api-key` or `authorization`, or as `secret` of its query.

    Compared in time that does not depend on where they differ.
    """
    shown = (
        request.headers.get("x-api-key"),
        request.headers.get("authorization", "").removeprefix("Bearer "),
        request.query_params.get("secret"),
    )
    return any(hmac.compare_digest(secret, each.encode()) for each in shown if each)


async def body_of(request: Request, kind: type[T]) -> T:
    """What a gateway sent. Raises `Refusal`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refusal(413, "body_too_large", f"The body may have {MAX_BODY} bytes at the most.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, "malformed_json", f"The body is not what a gateway sends: {error}.") from None


def query_of(text: str) -> dict[str, str]:
    """The first value of each parameter of an ingest URL's query."""
    return {name: values[0] for name, values in parse_qs(text).items()}


def credential_of(query: dict[str, str]) -> bytes | None:
    """The credential in an ingest URL's query."""
    return next((query[name].encode() for name in CREDENTIAL_PARAMETERS if name in query), None)


def denied(refusal: Refusal) -> Response:
    """The gateway closes the stream on any status but a success; the reason is for its log."""
    content: dict[str, Any] = {"code": refusal.code, "detail": refusal.detail}
    return JSONResponse(content, refusal.status)
