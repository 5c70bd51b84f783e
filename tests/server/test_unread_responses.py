"""Clients that do not read their response: each is let go, but none that reads slowly or has nothing to read."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from config.access import Edge
from proxy.network import reading_pace
from tests.edge.server_fixture import Log, Server, serve

pytestmark = pytest.mark.ci


PART = b"v" * 262_144
PARTS = 64
"""More than both kernels take by themselves."""
SECONDS = 0.4

over = threading.Event()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"].endswith("/whole"):
        await send({"type": "http.response.body", "body": PART * PARTS})
    elif scope["path"].endswith("/quiet"):
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.sleep(3 * SECONDS)
        await send({"type": "http.response.body", "body": b"last"})
    else:
        for _ in range(PARTS):
            await send({"type": "http.response.body", "body": PART, "more_body": True})
        await send({"type": "http.response.body"})
    over.set()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    over.clear()
    monkeypatch.setattr(reading_pace, "READ_SECONDS", SECONDS)
    with serve(Edge(), application) as running:
        yield running


@contextlib.contextmanager
def request(server: Server, name: str, fields: str = "") -> Iterator[socket.socket]:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        client.settimeout(60)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET /stream/{name} HTTP/1.1\r\nHost: gate\r\n{fields}\r\n".encode())
        yield client


def lost(log: Log, client: socket.socket) -> bool:
    port = client.getsockname()[1]
    return log.wait(lambda: port in log.links and log.links[port].lost)


@pytest.mark.parametrize("name", ["streamed", "whole"])
@pytest.mark.parametrize("fields", ["", "Connection: close\r\n"], ids=["keep-alive", "close"])
def test_a_client_that_never_reads_is_let_go(server: Server, name: str, fields: str) -> None:
    with request(server, name, fields) as client:
        assert lost(server.log, client)
        assert over.wait(5), "the application still waits for the client"


def test_a_client_that_stops_reading_the_refusal_of_its_upload_is_let_go(server: Server) -> None:
    """Also what a connection is only closed behind has to be read."""
    with request(server, "whole", "Content-Length: 9\r\n") as client:
        assert lost(server.log, client)


def test_a_client_that_reads_slowly_gets_all(server: Server) -> None:
    size, began = 0, time.monotonic()
    with request(server, "streamed", "Connection: close\r\n") as client:
        while chunk := client.recv(65_536):
            size += len(chunk)
            if time.monotonic() - began < 4 * SECONDS:
                time.sleep(SECONDS / 8)
    assert size > PARTS * len(PART)


def test_a_stream_may_be_quiet(server: Server) -> None:
    with request(server, "quiet", "Connection: close\r\n") as client:
        raw = b""
        while chunk := client.recv(65_536):
            raw += chunk
    assert raw.endswith(b"4\r\nlast\r\n0\r\n\r\n")
