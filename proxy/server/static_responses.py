"""Complete responses that a connection sends by itself when no application can; it closes after each of them."""

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE


def _response(status: int, title: str, code: str, detail: str) -> bytes:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    body = msgspec.json.encode(problem)
    headers = b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    return STATUS_LINE[status] + headers + body


MALFORMED = _response(400, "Bad Request", "malformed_request", "The bytes sent are not a well-formed HTTP/1.1 request.")
HEAD_LATE = _response(408, "Request Timeout", "request_timeout", "The request head did not arrive in time.")
HEAD_TOO_LARGE = _response(
    431, "Request Header Fields Too Large", "header_too_large", "The headers are too large or too many."
)
CHUNKS_TOO_SMALL = _response(
    400,
    "Bad Request",
    "chunks_too_small",
    "The body was sent in too many chunks for its size, or with chunk extensions too long. Send chunks of at least "
    "64 bytes without extensions, or the body with a Content-Length.",
)
