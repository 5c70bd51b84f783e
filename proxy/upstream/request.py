"""The request head on the wire (RFC 9112 sections 3 and 5)."""

import re
from collections.abc import Sequence

from proxy.upstream.errors import InvalidRequest

Headers = Sequence[tuple[bytes, bytes]]

CHUNKED = b"transfer-encoding: chunked\r\n"
CONTENT_LENGTH = b"content-length: %d\r\n"

# RFC 9110 section 5.6.2: token.
_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_REFUSED = frozenset((b"", b"content-length", b"transfer-encoding"))
_KNOWN: set[bytes] = set()
"""Names that were found good before; most requests bring no other."""
_MOST_KNOWN = 4096
_UNSAFE_IN_TARGET = re.compile(rb"[\x00-\x20\x7f]")


def request_head(method: bytes, target: bytes, headers: Headers, framing: bytes) -> bytes:
    """Serialises request line and header block, closed by its empty line.

    Args:
        method: a token; not ``CONNECT``, whose answer is a tunnel.
        target: the request target as the client sent it, still percent-encoded.
        headers: ``(name, value)`` pairs, written as they are and in this order. The caller gives ``host``.
        framing: the one framing header line, ``b""`` for a request without a body.

    Raises:
        InvalidRequest: the head would not be read as the request it was made from: a separator or control character
            where none may stand, or framing headers among ``headers``. The message never repeats a value.
    """
    lines = list(map(b": ".join, headers))
    block = b"\r\n".join([b"", *lines])
    # One pass over the whole block: it must hold the line ends just written, and no more.
    if len(block.translate(None, b"\r\n\0")) != len(block) - 2 * len(lines):
        raise InvalidRequest("a header contains CR, LF or NUL")
    if not _KNOWN.issuperset(dict(headers)):
        _check([name for name, _ in headers])
    if not method or method.translate(None, _TOKEN) or method == b"CONNECT":
        raise InvalidRequest("the method is CONNECT or not a token (RFC 9110 section 9)")
    if not target or _UNSAFE_IN_TARGET.search(target):
        raise InvalidRequest("the request target is empty or contains a space or control character")
    return b"%b %b HTTP/1.1%b\r\n%b\r\n" % (method, target, block, framing)


def _check(names: list[bytes]) -> None:
    if b"".join(names).translate(None, _TOKEN):
        raise InvalidRequest("a header name is not a token (RFC 9110 section 5.6.2)")
    if not _REFUSED.isdisjoint(map(bytes.lower, names)):
        raise InvalidRequest("a header has no name, or is content-length or transfer-encoding, the client's to write")
    if len(_KNOWN) < _MOST_KNOWN:
        _KNOWN.update(names)
