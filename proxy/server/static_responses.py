"""What a connection says by itself when no application can: complete answers, after which it closes."""

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE


def _answer(status: int, title: str, code: str, detail: str) -> bytes:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    body = msgspec.json.encode(problem)
    fields = b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    return STATUS_LINE[status] + fields + body


MALFORMED = _answer(400, "Bad Request", "malformed_request", "The bytes sent are not a well-formed HTTP/1.1 request.")
LATE = _answer(408, "Request Timeout", "request_timeout", "The request head did not arrive in time.")
TOO_LARGE = _answer(
    431, "Request Header Fields Too Large", "header_too_large", "The header fields are too large or too many."
)
