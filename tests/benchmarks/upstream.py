"""Upstream of event streams and large bodies, which nginx cannot generate.

`python -m tests.benchmarks.upstream PORT` serves

- POST /llm: a stream of `max_tokens` events, by the name of the `model`: `pause-MS` has as many milliseconds between
  events (0: each in a write of its own, as fast as they go), `hold` ends after one event, when the client goes;
- GET /stream/BYTES.ts: as many bytes;
- anything else, read to its end: nginx's static response.
"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from typing import Any, cast

import httptools
import msgspec
import uvloop

from proxy.mock_gateway.routes.llm import Chat
from tests.benchmarks.nginx import RESPONSE
from tests.benchmarks.programs import LOOPBACK

BLOCK = bytes(256 * 1024)
_OK = b"HTTP/1.1 200 OK\r\n"
_RESPONSE = b"%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    _OK,
    len(RESPONSE),
    RESPONSE.encode(),
)
_SSE = _OK + b"content-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


class Chats(msgspec.Struct):
    """Part of a request to /llm that describes the stream."""

    model: str
    max_tokens: int


def chat(model: str, events: int) -> bytes:
    """Return the body that requests such a stream."""
    return msgspec.json.encode(
        {"model": model, "max_tokens": events, "stream": True, "messages": [{"role": "user", "content": "tell me"}]}
    )


@lru_cache
def chunks(count: int) -> tuple[bytes, ...]:
    """Return events as a gateway writes them (gateway contract section 1.2), each as a chunk of the transfer coding."""
    source = Chat("bench", 2, zero_usage=False)
    last = source.event("", "stop", count)
    events = [*(source.event(f"t{number} ", "", number + 1) for number in range(count - 1)), last]
    return tuple(b"%x\r\n%s\r\n" % (len(event), event) for event in events)


class Upstream(asyncio.Protocol):
    """Server's side of one connection."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpRequestParser(self)
        self._path = b""
        self._body = bytearray()
        self._left = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=4 * len(BLOCK))

    def connection_lost(self, exc: Exception | None) -> None:
        self._left = 0
        if self._stream is not None:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path = url
        self._body.clear()

    def on_headers_complete(self) -> None:
        if self._parser.should_upgrade():
            self._transport.abort()

    def on_body(self, data: bytes) -> None:
        if self._path == b"/llm":
            self._body += data

    def on_message_complete(self) -> None:
        if self._path == b"/llm":
            wanted = msgspec.json.decode(self._body, type=Chats)
            self._stream = asyncio.get_running_loop().create_task(self._events(wanted))
        elif self._path.startswith(b"/stream/"):
            size = self._path.removesuffix(b".ts").rpartition(b"/")[2]
            self._left = int(size.rpartition(b"_")[2])  # Tollgate puts the app in front of it
            self._transport.write(_OK + b"content-type: video/mp2t\r\ncontent-length: %d\r\n\r\n" % self._left)
            self._generate()
        else:
            self._transport.write(_RESPONSE)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        self._generate()

    def _generate(self) -> None:
        while self._left and self._writable.is_set():
            size = min(self._left, len(BLOCK))
            self._left -= size
            self._transport.write(BLOCK[:size])

    async def _events(self, wanted: Chats) -> None:
        self._transport.write(_SSE)
        if wanted.model == "hold":
            self._transport.write(chunks(2)[0])
            await asyncio.Event().wait()
        pause = int(wanted.model.removeprefix("pause-")) / 1_000
        for chunk in chunks(wanted.max_tokens):
            self._transport.write(chunk)
            await asyncio.sleep(pause)
            await self._writable.wait()
        self._transport.write(_END)


async def serve(port: int) -> asyncio.Server:
    """Listen on the loopback interface; port 0 takes a free one."""
    return await asyncio.get_running_loop().create_server(Upstream, LOOPBACK, port, backlog=4_096)


async def main() -> None:
    """Serve until the process is stopped."""
    async with await serve(int(sys.argv[1])) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
