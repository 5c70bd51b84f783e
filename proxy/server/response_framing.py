"""How a response is written: the framing of its body (RFC 9112 section 6) and the bytes of its head. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from middlewares.exchange import Headers

_CR, _LF, _NUL = b"\r\n\0"


Framing = Literal["bodiless", "length", "chunked", "until close"]
"""How a client knows where the body ends (RFC 9112 section 6.3)."""


class InvalidResponse(RuntimeError):
    """An application broke ASGI, or a header would break the response's framing. The connection is closed."""


def framing_of(status: int, headers: Mapping[bytes, bytes], *, method: str, http_version: str) -> Framing:
    """Return the framing of a response to a request with this method and version.

    Responses to HTTP/1.0 are never chunked (RFC 9112 section 6.1).
    """
    if status in (204, 304) or method == "HEAD":
        return "bodiless"
    if b"content-length" in headers:
        return "length"
    return "until close" if http_version == "1.0" else "chunked"


def head_bytes(status: int, headers: Headers, framing: Framing, *, keep_alive: bool) -> bytes:
    """Return the head of a response with these headers and those that framing and connection need.

    Raises `InvalidResponse` for a header with CR, LF or NUL. Headers come from a parser or from Tollgate itself, so
    one look at all of them together replaces uvicorn's two pattern matches for each.
    """
    lines = [*map(b": ".join, headers)]
    if framing == "chunked":
        lines.append(b"transfer-encoding: chunked")
    if not keep_alive:
        lines.append(b"connection: close")
    text = b"".join(lines)
    if _CR in text or _LF in text or _NUL in text:
        raise InvalidResponse("a header of the response contains CR, LF or NUL")
    return b"%b%b\r\n\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))
