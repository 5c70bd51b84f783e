"""Requests whose framing or addressing two readers could take differently, as data: the raw inputs of the survey of
Python servers, and their neighbours. Each must be refused, and nothing after it may be served.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_CHUNKS = b"4\r\nWiki\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Hostile:
    """One ambiguous request."""

    name: str
    raw: bytes
    statuses: frozenset[int] = frozenset({400})
    """Statuses of a right response."""
    in_body: bool = False
    """The fault comes after the head: a stage may have been given the request, but must never see its end."""


def second_request(headers: bytes = b"") -> bytes:
    """A request that must not be served when it follows a hostile one."""
    return b"GET /stream/second.m3u8 HTTP/1.1\r\nHost: proxy.example\r\n" + headers + b"\r\n"


def hostile_requests(headers: bytes = b"") -> tuple[Hostile, ...]:
    """All of them. `headers`: complete header lines, such as a credential, for each request."""
    return tuple(_generate(headers))


def _post(lines: bytes, body: bytes, headers: bytes, *, target: bytes = b"/upscale", version: bytes = b"1.1") -> bytes:
    return b"POST " + target + b" HTTP/" + version + b"\r\nHost: proxy.example\r\n" + headers + lines + b"\r\n" + body


def _get(target: bytes, headers: bytes, *, method: bytes = b"GET", host: bytes = b"Host: proxy.example\r\n") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + host + headers + b"\r\n"


def _generate(headers: bytes) -> Iterator[Hostile]:
    yield from _content_lengths(headers)
    yield from _transfer_encodings(headers)
    yield from _chunks(headers)
    yield from _headers(headers)
    yield from _targets(headers)


def _content_lengths(headers: bytes) -> Iterator[Hostile]:
    both = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
    yield Hostile("content-length and transfer-encoding", _post(both, _CHUNKS, headers))
    both = b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"
    yield Hostile("transfer-encoding and content-length", _post(both, _CHUNKS, headers))
    twice = b"Content-Length: 4\r\nContent-Length: 4\r\n"
    yield Hostile("content-length twice, equal", _post(twice, b"Wiki", headers))
    twice = b"Content-Length: 4\r\nContent-Length: 5\r\n"
    yield Hostile("content-length twice, different", _post(twice, b"Wiki", headers))
    for value in (b"4, 4", b"+4", b"0x4", b"0_4", b"-1", b"4 4", b"", b"99999999999999999999999"):
        line = b"Content-Length: " + value + b"\r\n"
        yield Hostile(f"content-length {value.decode()!r}", _post(line, b"Wiki", headers))


def _transfer_encodings(headers: bytes) -> Iterator[Hostile]:
    refused = frozenset({400, 501})
    codings = (b"xchunked", b"\x0bchunked", b"chunked, identity", b"gzip, chunked", b"chunked, chunked", b"gzip", b"")
    for coding in codings:
        line = b"Transfer-Encoding: " + coding + b"\r\n"
        yield Hostile(f"transfer-encoding {coding.decode()!r}", _post(line, _CHUNKS, headers), refused)
    twice = b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
    yield Hostile("transfer-encoding twice", _post(twice, _CHUNKS, headers), refused)
    chunked = b"Transfer-Encoding: chunked\r\n"
    yield Hostile("transfer-encoding in HTTP/1.0", _post(chunked, _CHUNKS, headers, version=b"1.0"), refused)


def _chunks(headers: bytes) -> Iterator[Hostile]:
    bodies = {
        "chunk size 0x4": b"0x4\r\nWiki\r\n0\r\n\r\n",
        "chunk size +4": b"+4\r\nWiki\r\n0\r\n\r\n",
        "chunk size -4": b"-4\r\nWiki\r\n0\r\n\r\n",
        "chunk size with a space": b"4 \r\nWiki\r\n0\r\n\r\n",
        "chunk size of 17 digits": b"00000000000000004\r\nWiki\r\n0\r\n\r\n".replace(b"0000", b"F000", 1),
        "chunk size line ends in LF": b"4\nWiki\r\n0\r\n\r\n",
        "chunk data ends in LF": b"4\r\nWiki\n0\r\n\r\n",
        "chunk data without CRLF": b"4\r\nWiki0\r\n\r\n",
        "chunk longer than its size": b"4\r\nWikipedia\r\n0\r\n\r\n",
        "chunk extension with a bare LF": b"4;a\nb\r\nWiki\r\n0\r\n\r\n",
        "last chunk ends in LF": b"4\r\nWiki\r\n0\r\n\n",
        "trailer without a colon": b"4\r\nWiki\r\n0\r\nevil\r\n\r\n",
    }
    for name, body in bodies.items():
        yield Hostile(name, _post(b"Transfer-Encoding: chunked\r\n", body, headers), in_body=True)


def _headers(headers: bytes) -> Iterator[Hostile]:
    target = b"/stream/first.m3u8"
    lines = {
        "obs-fold": b"X-A: a\r\n b\r\n",
        "header line ends in LF": b"X-A: a\n",
        "bare CR in a value": b"X-A: a\rb\r\n",
        "NUL in a value": b"X-A: a\0b\r\n",
        "space before the colon": b"X-A : a\r\n",
        "space before the first name": b" X-A: a\r\n",
        "no colon": b"X-A\r\n",
        "empty name": b": a\r\n",
        "reserved name with _": b"X_Tollgate_App: a\r\n",
        "Content_Length": b"Content_Length: 4\r\n",
        "Transfer_Encoding": b"Transfer_Encoding: chunked\r\n",
    }
    for name, text in lines.items():
        yield Hostile(name, _get(target, text + headers))
    too_large = frozenset({431})
    yield Hostile("header of 100 KB", _get(target, b"X-A: " + b"a" * 100_000 + b"\r\n" + headers), too_large)
    yield Hostile("500 headers", _get(target, b"X-A: a\r\n" * 500 + headers), too_large)
    yield Hostile("no Host", _get(target, headers, host=b""))
    yield Hostile("two Hosts", _get(target, b"Host: evil.example\r\n" + headers))
    for host in (b"", b"evil.example/a", b"a@evil.example", b"evil.example:80:80", b"a b", b"a, b", b"a:x"):
        yield Hostile(f"Host {host.decode()!r}", _get(target, headers, host=b"Host: " + host + b"\r\n"))


def _targets(headers: bytes) -> Iterator[Hostile]:
    not_served = frozenset({501})
    yield Hostile("CONNECT", _get(b"evil.example:443", headers, method=b"CONNECT"), not_served)
    yield Hostile("TRACE", _get(b"/stream/first.m3u8", headers, method=b"TRACE"), not_served)
    yield Hostile("asterisk-form", _get(b"*", headers, method=b"OPTIONS"))
    for target in (
        b"http://evil.example/stream/first.m3u8",
        b"http://proxy.example/stream/first.m3u8",
        b"//evil.example/stream/first.m3u8",
        b"/stream/../start",
        b"/stream/./first.m3u8",
        b"/stream//first.m3u8",
        b"/stream/..",
        b"/stream/%2e%2e/start",
        b"/stream/%2E./start",
        b"/stream/a%2Fb.m3u8",
        b"/stream/a%5cb.m3u8",
        b"/stream/a%00.m3u8",
        b"/stream/a%0d%0ab.m3u8",
        b"/stream/%252e%252e/start",
        b"/stream/a\\b.m3u8",
        b"/stream/a%zz.m3u8",
        b"/stream/a%2",
        b"/stream/a#b.m3u8",
        b"/stream/\xff.m3u8",
        b"/stream/first.m3u8?a=\xff",
    ):
        yield Hostile(f"target {target.decode('latin-1')}", _get(target, headers))
    version = frozenset({400, 505})
    yield Hostile("HTTP/2.0", _get(b"/stream/first.m3u8", headers).replace(b"HTTP/1.1", b"HTTP/2.0"), version)
    yield Hostile("HTTP/0.9", _get(b"/stream/first.m3u8", headers).replace(b"HTTP/1.1", b"HTTP/0.9"), version)
    yield Hostile("HTTP/1.2", _get(b"/stream/first.m3u8", headers).replace(b"HTTP/1.1", b"HTTP/1.2"), version)
    yield Hostile("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
