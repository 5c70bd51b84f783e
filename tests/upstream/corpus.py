"""Raw responses, and what must become of them. Tests of framing, malformation and fragmentation share them."""

from typing import NamedTuple

KEPT, CLOSED = True, False

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"


class Complete(NamedTuple):
    """A response that is right, in the order of the cases of RFC 9112 section 6.3."""

    name: str
    method: bytes
    raw: bytes
    status: int
    body: bytes
    kept: bool  # whether its connection may carry another exchange

    def __repr__(self) -> str:
        return self.name


COMPLETE = [
    Complete("head-length", b"HEAD", _HEAD + b"Content-Length: 5\r\n\r\n", 200, b"", KEPT),
    Complete("head-length-zero", b"HEAD", _HEAD + b"Content-Length: 0\r\n\r\n", 200, b"", KEPT),
    Complete("head-204", b"HEAD", b"HTTP/1.1 204 None\r\n\r\n", 204, b"", KEPT),
    Complete("head-chunked", b"HEAD", _CHUNKED, 200, b"", KEPT),
    Complete("head-unframed", b"HEAD", _HEAD + b"\r\n", 200, b"", CLOSED),
    Complete("204", b"GET", b"HTTP/1.1 204 None\r\n\r\n", 204, b"", KEPT),
    Complete("204-length", b"GET", b"HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", 204, b"", KEPT),
    Complete("304-length", b"GET", b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", 304, b"", KEPT),
    Complete("304-chunked", b"GET", _CHUNKED.replace(b"200", b"304"), 304, b"", KEPT),
    Complete("100", b"GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"hi", KEPT),
    Complete("103", b"GET", b"HTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\n" + OK, 200, b"hi", KEPT),
    Complete("unknown-interim", b"GET", b"HTTP/1.1 150 Soon\r\nX-A: b\r\n\r\n" + OK, 200, b"hi", KEPT),
    Complete("chunked", b"GET", _CHUNKED + b"2\r\nab\r\n1\r\nc\r\n" + _LAST, 200, b"abc", KEPT),
    Complete(
        "chunked-hex",
        b"GET",
        _CHUNKED + b"00a\r\n0123456789\r\nA\r\n0123456789\r\n" + _LAST,
        200,
        b"0123456789" * 2,
        KEPT,
    ),
    Complete("chunked-case", b"GET", _CHUNKED.replace(b"chunked", b"CHUNKED") + _LAST, 200, b"", KEPT),
    Complete("chunk-extension", b"GET", _CHUNKED + b'2;a=b;c="d"\r\nhi\r\n' + _LAST, 200, b"hi", KEPT),
    Complete("trailers", b"GET", _CHUNKED + b"2\r\nhi\r\n0\r\nX-T: t\r\nX-U: u\r\n\r\n", 200, b"hi", KEPT),
    Complete("length", b"GET", OK, 200, b"hi", KEPT),
    Complete("length-padded", b"GET", _HEAD + b"Content-Length: \t2 \t\r\n\r\nhi", 200, b"hi", KEPT),
    Complete("length-zero", b"POST", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, b"", KEPT),
    Complete("no-reason", b"GET", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", KEPT),
    Complete("close", b"GET", _HEAD + b"Connection: Close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", CLOSED),
    Complete(
        "close-in-list", b"GET", _HEAD + b"Connection: x,close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", CLOSED
    ),
    Complete(
        "upgrade-offered",
        b"GET",
        _HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        KEPT,
    ),
    Complete("http-1.0", b"GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", CLOSED),
    Complete(
        "http-1.0-keep-alive",
        b"GET",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        KEPT,
    ),
    Complete("http-1.0-unframed", b"GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhi", 200, b"hi", CLOSED),
    Complete("until-close", b"GET", _HEAD + b"\r\nall of it", 200, b"all of it", CLOSED),
    Complete("until-close-empty", b"GET", _HEAD + b"\r\n", 200, b"", CLOSED),
]

TRUNCATED = {
    "in-status-line": b"HTTP/1.1 200",
    "in-head": _HEAD + b"Content-Len",
    "after-interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "before-body": _HEAD + b"Content-Length: 4\r\n\r\n",
    "in-body": _HEAD + b"Content-Length: 4\r\n\r\nabc",
    "before-chunks": _CHUNKED,
    "in-chunk": _CHUNKED + b"4\r\nabc",
    "between-chunks": _CHUNKED + b"3\r\nabc\r\n",
    "in-last-chunk": _CHUNKED + b"3\r\nabc\r\n0\r\n",
    "in-trailers": _CHUNKED + b"3\r\nabc\r\n0\r\nX-T: t\r\n",
}

_FRAMING = {
    "length-and-chunked": _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + _LAST,
    "chunked-and-length": _HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + _LAST,
    "two-lengths": _HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "equal-lengths": _HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "length-list": _HEAD + b"Content-Length: 2, 2\r\n\r\nhi",
    "length-plus": _HEAD + b"Content-Length: +2\r\n\r\nhi",
    "length-minus": _HEAD + b"Content-Length: -2\r\n\r\nhi",
    "length-hex": _HEAD + b"Content-Length: 0x2\r\n\r\nhi",
    "length-underscore": _HEAD + b"Content-Length: 1_0\r\n\r\n0123456789",
    "length-empty": _HEAD + b"Content-Length:\r\n\r\nhi",
    "length-overflow": _HEAD + b"Content-Length: 18446744073709551616\r\n\r\nhi",
    "length-two-words": _HEAD + b"Content-Length: 1 0\r\n\r\n0123456789",
    "te-gzip": _HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + _LAST,
    "te-gzip-chunked": _HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + _LAST,
    "te-chunked-identity": _HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n" + _LAST,
    "te-twice": _HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + _LAST,
    "te-empty": _HEAD + b"Transfer-Encoding:\r\n\r\n" + _LAST,
    "te-xchunked": _HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + _LAST,
    "te-control": _HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + _LAST,
    "te-in-http-1.0": _CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + _LAST,
    "interim-with-length": b"HTTP/1.1 103 Hints\r\nContent-Length: 2\r\n\r\nhi" + OK,
    "interim-chunked": b"HTTP/1.1 150 Soon\r\nTransfer-Encoding: chunked\r\n\r\n" + _LAST + OK,
    "switching-protocols": b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
    "switching-unnamed": b"HTTP/1.1 101 Switch\r\n\r\n" + OK,
}

_CHUNKS = {
    "size-0x": b"0x2\r\nhi\r\n",
    "size-plus": b"+2\r\nhi\r\n",
    "size-minus": b"-2\r\nhi\r\n",
    "size-empty": b"\r\nhi\r\n",
    "size-space": b"2 \r\nhi\r\n",
    "size-lf": b"2\nhi\r\n",
    "size-17-digits": b"10000000000000000\r\nhi\r\n",
    "data-too-long": b"2\r\nhi!\r\n",
    "data-without-crlf": b"2\r\nhi2\r\nho\r\n",
    "data-lf": b"2\r\nhi\n",
    "extension-lf": b"2;a\nhi\r\n",
    "extension-nul": b"2;a=\0\r\nhi\r\n",
    "length-in-trailers": b"0\r\nContent-Length: 9\r\n\r\n",
}

_SYNTAX = {
    "not-http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "rtsp": OK.replace(b"HTTP/1.1", b"RTSP/1.0"),
    "http-2": OK.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "http-0.9": OK.replace(b"HTTP/1.1", b"HTTP/0.9"),
    "http-1.2": OK.replace(b"HTTP/1.1", b"HTTP/1.2"),
    "lower-case": OK.replace(b"HTTP/1.1", b"http/1.1"),
    "leading-crlf": b"\r\n" + OK,
    "leading-space": b" " + OK,
    "status-two-digits": OK.replace(b"200", b"20"),
    "status-four-digits": OK.replace(b"200", b"2000"),
    "status-letters": OK.replace(b"200", b"2x0"),
    "status-below-100": OK.replace(b"200", b"099"),
    "obs-fold": _HEAD + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
    "fold-first": _HEAD + b" X-A: b\r\nContent-Length: 2\r\n\r\nhi",
    "bare-lf": OK.replace(b"\r\n", b"\n"),
    "one-bare-lf": _HEAD + b"X-A: b\nContent-Length: 2\r\n\r\nhi",
    "bare-cr": _HEAD + b"X-A: b\rContent-Length: 2\r\n\r\nhi",
    "nul-in-value": _HEAD + b"X-A: b\0c\r\nContent-Length: 2\r\n\r\nhi",
    "space-before-colon": _HEAD + b"Content-Length : 2\r\n\r\nhi",
    "space-in-name": _HEAD + b"Content Length: 2\r\n\r\nhi",
    "no-colon": _HEAD + b"Content-Length 2\r\n\r\nhi",
    "empty-name": _HEAD + b": 2\r\nContent-Length: 2\r\n\r\nhi",
    "non-ascii-name": _HEAD + b"X-\xff: 2\r\nContent-Length: 2\r\n\r\nhi",
}

MALFORMED = {
    **_FRAMING,
    **{f"chunk-{name}": _CHUNKED + chunk + _LAST for name, chunk in _CHUNKS.items()},
    **_SYNTAX,
}

FLOODS = {
    "long-value": _HEAD + b"X-A: " + b"a" * 65536 + b"\r\nContent-Length: 2\r\n\r\nhi",
    "long-name": _HEAD + b"a" * 65536 + b": b\r\nContent-Length: 2\r\n\r\nhi",
    "long-reason": b"HTTP/1.1 200 " + b"a" * 300_000,
    "endless-head": _HEAD + b"".join(b"X-%d: %b\r\n" % (i, b"a" * 1000) for i in range(100)),
    "many-fields": _HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(200)) + b"Content-Length: 2\r\n\r\nhi",
    "interim-heads": b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n" * 9000 + OK,
    "long-extension": _CHUNKED + b"2;" + b"a" * 40_000 + b"\r\nhi\r\n" + _LAST,
    "long-size-line": _CHUNKED + b"0" * 40_000 + b"2\r\nhi\r\n" + _LAST,
    "many-extensions": _CHUNKED + (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 2000 + _LAST,
    "trailers": _CHUNKED + b"0\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n",
}
"""Each must be refused however it arrives: whole, or in small pieces."""
