"""A real uvicorn server on an ephemeral port with our protocol and the edge in front of an application, in a thread."""

import asyncio
import contextlib
import itertools
import json
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.access import Edge
from config.plans import Plan
from middlewares.exchange import Declaration, Exchange, Principal, Refusal
from proxy.server.protocol import protocol_class
from tests.support.edge import edge_before

DEADLINE = 10.0
"""Seconds after which a test gives up waiting for an event."""

_ids = itertools.count()


@dataclass(eq=False)
class Link:
    """One connection as the server knows it."""

    bytes_read: int = 0
    lost: bool = False
    claimed: bool = False


@dataclass(eq=False)
class Seen:
    """One request as the stage behind the edge met it."""

    link: Link
    exchange: Exchange
    scope: Scope
    body: bytes = b""
    complete: bool = False
    refused: str = ""
    declared: Declaration | None = None


@dataclass
class Log:
    """What the server met, for tests to wait on."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    links: dict[int, Link] = field(default_factory=dict)
    """By client port; the newest where a port was used again."""
    seen: list[Seen] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        with self.changed:
            self.notes.append(text)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, DEADLINE)

    def claim(self, port: int) -> Link:
        """The new connection from this client port."""
        assert self.wait(lambda: port in self.links and not self.links[port].claimed), "the server does not accept"
        link = self.links[port]
        link.claimed = True
        return link


@dataclass
class Server:
    port: int
    log: Log

    def connect(self) -> "Client":
        return Client(self)

    def send(self, *chunks: bytes) -> "Response":
        """Send chunks, each read by the server before the next goes out; read until the server closes."""
        with self.connect() as client:
            for chunk in chunks:
                client.send(chunk)
            return client.read_to_end()


@dataclass
class Response:
    raw: bytes
    seen: list[Seen]
    """Requests of this connection that the edge let in."""

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.raw)]

    @property
    def problem(self) -> dict[str, object]:
        head, _, body = self.raw.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        document: dict[str, object] = json.loads(body)
        return document


class Client:
    """A raw client connection."""

    def __init__(self, server: Server) -> None:
        self._log = server.log
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = server.log.claim(self._socket.getsockname()[1])
        self._sent = 0

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def seen(self) -> list[Seen]:
        return [seen for seen in self._log.seen if seen.link is self._link]

    @property
    def lost(self) -> bool:
        return self._link.lost

    @property
    def bytes_read(self) -> int:
        return self._link.bytes_read

    def send(self, chunk: bytes) -> None:
        """Return once the server has read all of it, or has closed."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(chunk)
        self._sent += len(chunk)
        link = self._link
        assert self._log.wait(lambda: link.bytes_read >= self._sent or link.lost), "the server does not read"

    def readable(self, seconds: float) -> bool:
        """Return True once the server has sent something, False after `seconds`."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def read(self, end: bytes) -> bytes:
        """Bytes up to and including `end`."""
        raw = b""
        while not raw.endswith(end):
            chunk = self._socket.recv(1)
            assert chunk, f"closed after {raw!r}"
            raw += chunk
        return raw

    def read_to_end(self) -> Response:
        """Everything until the server closes, orderly or by a reset. A server that does neither fails the test."""
        raw = b""
        with contextlib.suppress(ConnectionError):
            while chunk := self._socket.recv(65_536):
                raw += chunk
        return Response(raw, self.seen)

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def serve(settings: Edge, app: ASGIApp | None = None) -> Iterator[Server]:
    """Run `app`, by default `answer_ok`, behind the edge until the block ends."""
    log = Log()
    bound = protocol_class(settings)

    class Observed(bound):  # type: ignore[valid-type, misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            with log.changed:
                self.link = log.links[self.client[1]] = Link()
                log.changed.notify_all()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            with log.changed:
                self.link.bytes_read += len(data)
                log.changed.notify_all()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            with log.changed:
                self.link.lost = True
                log.changed.notify_all()

    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(
        _pipeline(edge_before(_recorder(log, app or answer_ok), settings), log),
        http=Observed,
        ws="none",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Server(listener.getsockname()[1], log)
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        listener.close()
        assert not thread.is_alive()


async def answer_ok(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body to its end, then respond with 200 `ok`; a body that ends early gets no response."""
    while (message := await receive()).get("more_body", False):
        pass
    if message["type"] != "http.request":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def _pipeline(app: ASGIApp, log: Log) -> ASGIApp:
    """Makes the exchange and renders refusals, as the stages around the edge do."""

    async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = f"request-{next(_ids)}"
        exchange = Exchange(request_id, 0.0, scope["method"], scope["path"])
        scope["tollgate.exchange"] = exchange
        scope["log"] = log
        try:
            await app(scope, receive, send)
        except Refusal as refusal:
            with log.changed:
                for seen in log.seen:
                    if seen.exchange is exchange:
                        seen.refused = refusal.code
                log.changed.notify_all()
            document = {"status": refusal.status, "code": refusal.code, "detail": refusal.detail, **refusal.members}
            body = json.dumps(document).encode()
            headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
            headers += refusal.headers
            if refusal.close:
                headers.append((b"connection", b"close"))
            await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    return outermost


def _recorder(log: Log, app: ASGIApp) -> ASGIApp:
    """Records each request the edge lets in, and of its body what `app` reads."""

    async def record(scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["tollgate.exchange"]
        seen = Seen(scope["tollgate.connection"].link, exchange, scope)
        with log.changed:
            log.seen.append(seen)
        exchange.principal = Principal("app", None, None, "unlimited", Plan())
        seen.declared = await exchange.declare()

        async def recorded() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                seen.body += message["body"]
                seen.complete = not message["more_body"]
            return message

        await app(scope, recorded, send)

    return record
