"""Bodies of the webhooks' requests and responses (gateway contract section 5)."""

from __future__ import annotations

import hmac
import re
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from middlewares.exchange import Refusal
from middlewares.json_codec import decode_as_go

MAX_BODY = 1024 * 1024
"""Largest request body in bytes; the largest one is a heartbeat's list of streams."""
NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
"""Pattern of stream and manifest names, as the client routes take them."""
CREDENTIAL_PARAMETERS = ("key", "token")
"""Parameters of an ingest URL's query that hold a credential; the first one counts."""

T = TypeVar("T")


class StreamRequest(msgspec.Struct, frozen=True):
    """Question of a gateway whether this live stream may begin (`-liveAIAuthWebhookUrl`)."""

    stream: str = ""
    stream_key: str = ""
    query_params: str = ""


class Heartbeat(msgspec.Struct, frozen=True):
    """Report of a gateway that these live streams run (`-liveAIHeartbeatURL`); null where none does."""

    ids: list[str] | None = None


class PushRequest(msgspec.Struct, frozen=True):
    """Question of a gateway whether a transcoding stream may begin, or a recording be read (`-authWebhookUrl`)."""

    url: str


class SignerState(msgspec.Struct, frozen=True):
    """What a signer knows of a payment session, as far as a decision needs it; Go spells the names."""

    state_id: str = msgspec.field(name="StateID", default="")
    """Id of the session, the same for all of its payments."""
    type: str = msgspec.field(name="Type", default="")
    """Kind of payment: `live`, `lv2v`, `fixed`, or empty where the caller counts the units itself."""
    app: str = msgspec.field(name="App", default="")
    """What the session runs."""
    auth_id: str = msgspec.field(name="AuthID", default="")
    """The identity of its payments so far; empty before the first."""


class SignerRequest(msgspec.Struct, frozen=True):
    """Question of a remote signer whether it may pay (`-remoteSignerWebhookUrl`), with its caller's own headers."""

    headers: dict[str, list[str] | None] | None = None
    """By name, in Go's spelling (`X-Api-Key`); a name has several values where the caller sent it more than once."""
    state: SignerState | None = None


def shows_secret(request: Request, secret: bytes) -> bool:
    """Return True if a request shows `secret` in `x-api-key` or `authorization`, or as `secret` of its query.

    Compared in time that does not depend on where they differ.
    """
    candidates = (
        request.headers.get("x-api-key"),
        request.headers.get("authorization", "").removeprefix("Bearer "),
        request.query_params.get("secret"),
    )
    return any(hmac.compare_digest(secret, candidate.encode()) for candidate in candidates if candidate)


async def read_body(request: Request, kind: type[T]) -> T:
    """Return the request's body, decoded from JSON. Raises `Refusal`: 413 past `MAX_BODY`, 400 for another shape."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refusal(413, "body_too_large", f"The body may have at most {MAX_BODY} bytes.")
    try:
        return decode_as_go(msgspec.json.Decoder(kind), body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "malformed_json", f"Expected the JSON body that a gateway sends: {error}.") from None


def query_of(text: str) -> dict[str, str]:
    """Return the first value of each parameter of an ingest URL's query."""
    return {name: values[0] for name, values in parse_qs(text).items()}


def credential_of(query: dict[str, str]) -> bytes | None:
    """Return the credential in an ingest URL's query; None where it has none."""
    return next((query[name].encode() for name in CREDENTIAL_PARAMETERS if name in query), None)


def refusal_response(refusal: Refusal) -> Response:
    """Return the response for `refusal`: a gateway closes the stream on any status but a success, and logs the body."""
    content: dict[str, Any] = {"code": refusal.code, "detail": refusal.detail}
    return JSONResponse(content, refusal.status, {"connection": "close"} if refusal.close else None)
