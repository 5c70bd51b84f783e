"""The disconnect hook: called once when the client goes away before its answer is complete, and not after it."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from starlette.types import Receive, Scope, Send

from config.access import Edge
from tests.edge.harness import Server, answer_ok, serve

LOGS: list[Server] = []


def get(path: str, fields: str = "") -> bytes:
    return f"GET /stream{path} HTTP/1.1\r\nHost: gate\r\n{fields}\r\n".encode()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """`/held...` begins an answer and holds it until the client is gone; everything else is answered at once."""
    note = LOGS[-1].log.note
    connection = scope["tollgate.connection"]
    connection.on_disconnect(partial(note, f"gone {scope['path']}"))
    if not scope["path"].startswith("/stream/held"):
        await answer_ok(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    gone = asyncio.Event()

    def left() -> None:
        note(f"left {scope['path']}")
        gone.set()

    connection.on_disconnect(left)
    await gone.wait()
    assert (await receive())["type"] == "http.disconnect"
    connection.on_disconnect(partial(note, f"late {scope['path']}"))


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Edge(), application) as running:
        LOGS.append(running)
        yield running
        LOGS.pop()


def test_called_when_the_client_leaves_in_the_middle_of_an_answer(server: Server) -> None:
    with server.connect() as client:
        client.send(get("/held.ts"))
        client.read(b"first\r\n")
    assert server.log.wait(lambda: len(server.log.notes) == 2)
    assert server.log.notes == ["left /stream/held.ts", "late /stream/held.ts"]


def test_not_called_for_requests_that_have_their_answer(server: Server) -> None:
    with server.connect() as client:
        client.send(get("/a.ts"))
        client.read(b"ok")
        client.send(get("/held.ts"))
        client.read(b"first\r\n")
    assert server.log.wait(lambda: len(server.log.notes) == 2)
    assert not [note for note in server.log.notes if "/a.ts" in note]


def test_not_called_when_a_connection_ends_between_requests(server: Server) -> None:
    server.send(get("/a.ts", "Connection: close\r\n"))
    with server.connect() as client:
        client.send(get("/b.ts"))
        client.read(b"ok")
        client.close()
        assert server.log.wait(lambda: client.lost)
    assert server.log.notes == []


def test_the_request_being_answered_learns_of_it_though_others_wait_behind_it(server: Server) -> None:
    """Hazard: with pipelined requests, the server marks only the newest as disconnected."""
    with server.connect() as client:
        client.send(get("/held.ts") + get("/never.ts"))
        client.read(b"first\r\n")
    assert server.log.wait(lambda: len(server.log.notes) == 2)
    assert server.log.notes == ["left /stream/held.ts", "late /stream/held.ts"]


def test_a_broken_body_of_a_waiting_request_does_not_touch_the_one_before_it(server: Server) -> None:
    broken = b"POST /upscale HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki!"
    answer = server.send(get("/a.ts") + broken)
    assert answer.statuses == [200, 400]
    assert [seen.exchange.path for seen in answer.seen] == ["/stream/a.ts"]


def test_requests_of_one_connection_are_answered_in_order(server: Server) -> None:
    answer = server.send(get("/a.ts") + get("/b.ts") + get("/c.ts", "Connection: close\r\n"))
    assert answer.statuses == [200, 200, 200]
    assert [seen.exchange.path for seen in answer.seen] == ["/stream/a.ts", "/stream/b.ts", "/stream/c.ts"]
