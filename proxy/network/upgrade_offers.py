"""Requests that offer to upgrade the connection, which a server may ignore (RFC 9110 section 7.8).

The parser takes such a head for the end of HTTP: it skips the body, which would then be read as the next request. So
the body is read by another parser, to which the head is given once more, without the offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


class _Callbacks:
    """The parser callbacks of a connection, which it gets from `live` on."""

    def __init__(self, connection: object) -> None:
        self._connection = connection
        self.live = False
        self.complete = False
        """True if the head was the whole request: its body has no bytes."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        callback = getattr(self._connection, name)

        def call(*arguments: bytes) -> None:
            if self.live:
                callback(*arguments)
            elif name == "on_message_complete":
                self.complete = True

        return call


def body_parser(connection: object, headers: Iterable[tuple[bytes, bytes]]) -> httptools.HttpRequestParser | None:
    """Return a parser that expects the body declared by `headers` next; None where it has no bytes.

    Raises `httptools.HttpParserError` for framing that it does not accept.
    """
    framing = [b"%b: %b\r\n" % header for header in headers if header[0] in _FRAMING]
    if not framing:
        return None
    callbacks = _Callbacks(connection)
    parser = httptools.HttpRequestParser(callbacks)
    parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
    callbacks.live = True
    return None if callbacks.complete else parser
