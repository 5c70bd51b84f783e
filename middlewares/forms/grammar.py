"""The grammar of forms (`multipart/form-data`, RFC 7578) that Tollgate lets pass. Pure.

Go's reader, which stands behind the gateway, takes much more: encoded and continued parameters, several parameters of
one name, transfer encodings, folded lines, `multipart/mixed`. Where two readers could read two things, the bill and the
work would differ; so every head of a form is of one strict shape, and anything else is an error.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from middlewares.exchange import Headers

HEAD_BYTES = 8_192
"""Longest head of a part, in bytes."""
MOST_HEAD_LINES = 16
"""Clients send two or three."""

_CHARSET = rb"[ \t]*;[ \t]*charset=(?:[\w.-]+|\"[\w.-]+\")"
_CONTENT_TYPE = re.compile(
    rb"multipart/form-data(?:" + _CHARSET + rb")?[ \t]*;[ \t]*"
    rb"boundary=(?:([\w'+.-]{1,70})|\"([\w'()+,./:=?-]{1,70})\")(?:" + _CHARSET + rb")?",
    re.IGNORECASE | re.ASCII,
)
_LINE = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
_DISPOSITION = re.compile(
    rb'form-data;[ \t]*name=(?:"([^"\\]+)"|([\w.-]+))'
    rb"(?:;[ \t]*filename=(?:" + _QUOTED + rb"|([\w.-]+)))?"
    rb"(;[ \t]*filename\*=utf-8''[\w.!#$&+^`|~%-]+)?",
    re.IGNORECASE | re.ASCII,
)
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")


class FormError(Exception):
    """The form is not of the shape that Tollgate lets pass; the message says where."""


class PartHead(NamedTuple):
    """The head of one part."""

    name: bytes
    is_file: bool
    """True if the part has a file name that is not empty: Go keeps it apart from the values."""


def form_boundary(headers: Headers) -> bytes | None:
    """Return the boundary of a form; None for a body of another kind, which the gateway refuses by itself.

    Raises `FormError` for a multipart body that is no plain form, and for a type that is not ASCII: Go takes more than
    bytes for blanks and small letters, so that it reads `multipart` where no byte of that word may stand.
    """
    kinds = [value.strip() for name, value in headers if name == b"content-type"]
    if not any(kind.lower().startswith(b"multipart") or not kind.isascii() for kind in kinds):
        return None
    if len(kinds) > 1:
        raise FormError("it has two content types")
    found = _CONTENT_TYPE.fullmatch(kinds[0])
    if found is None:
        raise FormError("its content type must be `multipart/form-data; boundary=...`")
    boundary: bytes = found[1] or found[2]
    return boundary


def part_head(lines: bytes) -> PartHead:
    """Return what the header lines of a part say, which are given without the blank line behind them.

    Raises `FormError`.
    """
    headers: dict[bytes, bytes] = {}
    if lines.count(b"\r\n") >= MOST_HEAD_LINES:
        raise FormError(f"the head of a part has more than {MOST_HEAD_LINES} lines")
    for line in lines.split(b"\r\n"):
        found = _LINE.fullmatch(line)
        if found is None or (name := found[1].lower()) in headers:
            raise FormError("the head of a part is not made of different headers, one a line")
        headers[name] = found[2].rstrip(b" \t")
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in _PLAIN_ENCODINGS:
        raise FormError("a part has a transfer encoding")
    disposition = _DISPOSITION.fullmatch(headers.get(b"content-disposition", b""))
    if disposition is None:
        raise FormError('the disposition of a part must be `form-data; name="..."`, and `filename="..."` for a file')
    filename: bytes = disposition[3] or disposition[4] or b""
    if disposition[5] and not filename:
        raise FormError("a part has an encoded file name and no plain one")
    return PartHead(disposition[1] or disposition[2], bool(filename))


def go_integer(text: bytes) -> int | None:
    """Return the number that Go's `strconv.ParseInt(text, 10, 64)` reads; None: it fails."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


_INTEGER = re.compile(rb"[+-]?[0-9]{1,64}")
