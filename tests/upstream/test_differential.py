"""The same bytes read by aiohttp, by httpx and by us: where both others agree, we agree, or refuse for a reason."""

import asyncio
from collections.abc import Callable, Iterator

import aiohttp
import httpx
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.upstream import ConnectionPool, UpstreamError
from tests.support.examples import examples
from tests.upstream.fakes import Gateway, Reader, Writer, get, read, read_head

pytestmark = pytest.mark.ci


ReadResponse = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers with names in lower case, body."""

STRICTER = {
    "Missing expected CR": "a bare LF ends no line: taking it is allowed, not asked (RFC 9112 section 2.2)",
    "Invalid response status": "nor the status line",
    "Invalid header field char": "nor is it the empty line",
    "Unexpected whitespace after header value": "a proxy rejects or unfolds folded lines (RFC 9112 section 5.2)",
    "Invalid header value char": "a control character has no place in a value (RFC 9110 section 5.5)",
    "Invalid character in chunk size": "nothing but an extension follows a chunk's size (RFC 9112 section 7.1)",
}
"""Where we refuse what both others take: what the refusal says, and why it is right."""


class ThreeClients:
    """One gateway that sends whatever bytes it was last given, and three clients that read them."""

    def __init__(self) -> None:
        self.raw = b""

    async def _respond(self, reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(self.raw)

    async def open(self) -> None:
        self._gateway = await Gateway(self._respond).__aenter__()
        self._url = f"http://127.0.0.1:{self._gateway.port}/"
        self._aiohttp = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._httpx = httpx.AsyncClient(verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        self._pool = ConnectionPool("127.0.0.1", self._gateway.port, max_idle=0)

    async def close(self) -> None:
        self._pool.close()
        await self._aiohttp.close()
        await self._httpx.aclose()
        await self._gateway.__aexit__()

    async def read_all(
        self, method: str, raw: bytes
    ) -> tuple[ReadResponse | str, ReadResponse | None, ReadResponse | None]:
        """Return what our client reads, or why it refuses; what aiohttp and httpx read, None for refusals."""
        self.raw = raw
        return await self._ours(method), await self._by_aiohttp(method), await self._by_httpx(method)

    async def _ours(self, method: str) -> ReadResponse | str:
        try:
            response = await get(self._pool, method=method.encode())
            return response.status, response.headers, await read(response)
        except UpstreamError as error:
            return str(error)

    async def _by_aiohttp(self, method: str) -> ReadResponse | None:
        try:
            async with self._aiohttp.request(method, self._url, allow_redirects=False) as response:
                headers = [(name.lower(), value) for name, value in response.raw_headers]
                return response.status, headers, await response.read()
        except aiohttp.ClientError:
            return None

    async def _by_httpx(self, method: str) -> ReadResponse | None:
        try:
            async with self._httpx.stream(method, self._url) as response:
                body = b"".join([part async for part in response.aiter_raw()])
                return response.status_code, [(n.lower(), v) for n, v in response.headers.raw], body
        except httpx.HTTPError:
            return None


ReadAll = Callable[[str, bytes], tuple[ReadResponse | str, ReadResponse | None, ReadResponse | None]]


@pytest.fixture(scope="module")
def read_all() -> Iterator[ReadAll]:
    clients = ThreeClients()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(clients.open())
        yield lambda method, raw: runner.run(clients.read_all(method, raw))
        runner.run(clients.close())


SPACE = st.sampled_from(["", "", " ", "\t", "  "])
NAMES = st.sampled_from(["X-A", "x-b", "X_C", "Content-Type", "ETag", "Server", "Vary", "Date"])
TEXT = st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f\x80\x85\xa0\xad")
INTERIM = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"]


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[str, bytes]:
    """A method and a valid answer to it: interim heads, a head, and a body framed by length, chunks or the close."""
    method = draw(st.sampled_from(["GET", "GET", "POST", "HEAD"]))
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 206, 302, 304, 400, 404, 413, 500, 503, 599]))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    version = "1.1" if framing == "chunked" else draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    body = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    fields = draw(st.lists(st.builds("{}:{}{}{}".format, NAMES, SPACE, st.text(TEXT, max_size=12), SPACE), max_size=5))
    if framing == "length":
        fields.append(f"Content-Length:{draw(SPACE)}{len(b''.join(body))}{draw(SPACE)}")
    if framing == "chunked":
        fields.append(draw(st.sampled_from(["Transfer-Encoding: chunked", "transfer-encoding:chunked "])))
    fields += draw(st.sampled_from([[], ["Connection: close"], ["Connection: keep-alive"]]))
    lines = [f"HTTP/{version} {status} {draw(st.sampled_from(['OK', 'Not Here', '']))}", *draw(st.permutations(fields))]
    interim = draw(st.lists(st.sampled_from(INTERIM), max_size=2))
    head = "".join([*interim, *[line + "\r\n" for line in lines], "\r\n"]).encode("latin-1")
    if method == "HEAD" or status in {204, 304}:
        return method, head
    if framing != "chunked":
        return method, head + b"".join(body)
    size = draw(st.sampled_from([b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n"]))
    return method, head + b"".join([size % len(part) + part + b"\r\n" for part in body]) + b"0\r\n\r\n"


NASTY = [b"\r\n", *(bytes([byte]) for byte in b"\r\n\0 \t:;,01+-_x\x0b\xff")]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A method and an answer that was valid before a few bytes were cut, added or replaced."""
    method, raw = draw(exchanges())
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(raw) - 1))
        match draw(st.sampled_from(["cut", "add", "replace", "end", "repeat-line", "bare-lf", "fold"])):
            case "cut":
                raw = raw[:at] + raw[at + draw(st.integers(1, 3)) :]
            case "add":
                raw = raw[:at] + draw(st.sampled_from(NASTY)) + raw[at:]
            case "replace":
                raw = raw[:at] + draw(st.sampled_from(NASTY)) + raw[at + 1 :]
            case "end":
                raw = raw[:at]
            case "repeat-line":
                line = raw[raw.rfind(b"\n", 0, at) + 1 : raw.find(b"\n", at) + 1]
                raw = raw.replace(line, line + line, 1) if line else raw
            case "bare-lf":
                raw = raw[:at] + raw[at:].replace(b"\r\n", b"\n", 1)
            case "fold":
                raw = raw[:at] + raw[at:].replace(b"\r\n", b"\r\n ", 1)
        raw = raw or b"\r\n"
    return method, raw


@given(exchange=exchanges())
@settings(max_examples=examples(100, 300), deadline=None)
def test_valid_responds_are_read_as_others_read_them(read_all: ReadAll, exchange: tuple[str, bytes]) -> None:
    ours, by_aiohttp, by_httpx = read_all(*exchange)
    assert ours == by_aiohttp == by_httpx


@pytest.mark.slow
@given(exchange=damaged())
@settings(max_examples=examples(150, 800), deadline=None)
def test_damaged_responds_are_read_as_others_read_them_or_refused(
    read_all: ReadAll, exchange: tuple[str, bytes]
) -> None:
    ours, by_aiohttp, by_httpx = read_all(*exchange)
    if not isinstance(ours, str):
        assert ours in (by_aiohttp, by_httpx)
    elif by_aiohttp == by_httpx is not None:
        assert any(refusal in ours for refusal in STRICTER), ours
