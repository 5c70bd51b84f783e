"""Requests that share a connection: answered in order, and a fault in one stays out of the responses before it."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from config.access import Edge
from tests.edge.server_fixture import Server, answer_ok, serve

BROKEN_HEAD = b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"
BROKEN_BODY = b"POST /upscale HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki!"
go = threading.Event()


def get(name: str, fields: str = "") -> bytes:
    return f"GET /stream/{name} HTTP/1.1\r\nHost: gate\r\n{fields}\r\n".encode()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """`held` is answered when the test says so, `early` before its body has arrived."""
    if scope["path"].endswith("/held"):
        await asyncio.to_thread(go.wait)
    if "/early/" in scope["path"]:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await answer_ok(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge(header_seconds=0.3), application) as running:
        yield running


def test_responses_keep_the_order_of_the_requests(server: Server) -> None:
    response = server.send(get("a") + get("b") + get("c", "Connection: close\r\n"))
    assert response.statuses == [200, 200, 200]
    assert [seen.exchange.path for seen in response.seen] == ["/stream/a", "/stream/b", "/stream/c"]


@pytest.mark.parametrize("broken", [BROKEN_HEAD, BROKEN_BODY], ids=["head", "body"])
@pytest.mark.parametrize("good", [1, 2, 3])
def test_a_broken_request_is_answered_after_the_good_ones(server: Server, good: int, broken: bytes) -> None:
    response = server.send(get("a") * good + broken)
    assert response.statuses == [200] * good + [400]
    assert len(response.seen) == good


def test_a_late_head_waits_for_the_response_before_it_and_is_not_served_any_more(server: Server) -> None:
    go.clear()
    with server.connect() as client:
        client.send(get("held") + b"GET /stream/late HTTP/1.1\r\n")
        assert server.send().raw == b""  # closed after `header_seconds`: the time of the late head was over before
        client.send(b"Host: gate\r\n\r\n" + get("later"))
        go.set()
        response = client.read_to_end()
    assert response.statuses == [200, 408]
    assert [seen.exchange.path for seen in response.seen] == ["/stream/held"]


def test_a_body_that_breaks_after_its_response_has_begun_cuts_the_response(server: Server) -> None:
    """Hazard: the 400 of the server written into the middle of a 200."""
    with server.connect() as client:
        client.send(b"PUT /live/early/0.ts HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n")
        assert client.read(b"first\r\n").startswith(b"HTTP/1.1 200")
        client.send(b"+4\r\nWiki\r\n0\r\n\r\n" + get("a"))
        response = client.read_to_end()
    assert response.raw == b""
    assert [seen.complete for seen in response.seen] == [False]


def test_long_chunk_extensions_do_not_end_an_upload_that_moves(server: Server) -> None:
    pieces = [b"4;" + b"x" * 60_000, b"\r\nWiki\r\n"] * 6
    head = b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: gate\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = server.send(head, *pieces, b"0\r\n\r\n")
    assert response.statuses == [200]
    assert response.seen[0].body == b"Wiki" * 6
