"""The request head on the wire (RFC 9112 sections 3 and 5)."""

import re
from collections.abc import Sequence
from operator import itemgetter

from proxy.upstream.errors import InvalidRequest

Headers = Sequence[tuple[bytes, bytes]]

CHUNKED = b"transfer-encoding: chunked\r\n"
CONTENT_LENGTH = b"content-length: %d\r\n"

# RFC 9110 section 5.6.2: token.
_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_REFUSED = frozenset((b"", b"content-length", b"transfer-encoding"))
_KNOWN: set[bytes] = set()
"""Names that passed the check before; most requests bring no other."""
_MOST_KNOWN = 4096
_LONGEST_KNOWN = 64
"""Bytes; clients choose names, and a head can bring one of tens of kilobytes."""
_COMMON_METHODS = frozenset((b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
_CR, _LF, _NUL = b"\r\n\0"
_name = itemgetter(0)
_UNSAFE_IN_TARGET = re.compile(rb"[\x00-\x20\x7f]")


def request_head(method: bytes, target: bytes, headers: Headers, framing: bytes) -> bytes:
    """Return request line and header block as bytes, closed by the empty line.

    Args:
        method: a token; not ``CONNECT``, whose response is a tunnel.
        target: the request target as the client sent it, still percent-encoded.
        headers: ``(name, value)`` pairs, written as they are and in this order. The caller gives ``host``.
        framing: the one framing header line, ``b""`` for a request without a body.

    Raises:
        InvalidRequest: the head would not be read as the request it was made from: a separator or control character
            where none may stand, or framing headers among ``headers``. The message never repeats a value.
    """
    if method not in _COMMON_METHODS and (not method or method.translate(None, _TOKEN) or method == b"CONNECT"):
        raise InvalidRequest("the method is CONNECT or not a token (RFC 9110 section 9)")
    if not target or _UNSAFE_IN_TARGET.search(target):
        raise InvalidRequest("the request target is empty or contains a space or control character")
    lines = [b"%b %b HTTP/1.1" % (method, target), *map(b": ".join, headers)]
    text = b"".join(lines)
    if _CR in text or _LF in text or _NUL in text:
        raise InvalidRequest("a header contains CR, LF or NUL")
    if not _KNOWN.issuperset(map(_name, headers)):
        _check([name for name, _ in headers])
    return b"%b\r\n%b\r\n" % (b"\r\n".join(lines), framing)


def _check(names: list[bytes]) -> None:
    if b"".join(names).translate(None, _TOKEN):
        raise InvalidRequest("a header name is not a token (RFC 9110 section 5.6.2)")
    if not _REFUSED.isdisjoint(map(bytes.lower, names)):
        raise InvalidRequest("a header has no name, or is content-length or transfer-encoding, the client's to write")
    if len(_KNOWN) < _MOST_KNOWN:
        _KNOWN.update(name for name in names if len(name) <= _LONGEST_KNOWN)
