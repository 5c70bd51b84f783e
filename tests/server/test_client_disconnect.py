"""Clients that go away, and responses that end early: who learns of it, when, and what the other side sees."""

import asyncio
import socket
from collections.abc import Iterator
from functools import partial

import pytest
from starlette.types import Receive, Scope, Send

from config.access import Edge
from tests.edge.server_fixture import Server, answer_ok, serve


def get(path: str, fields: str = "") -> bytes:
    return f"GET /stream/{path} HTTP/1.1\r\nHost: gate\r\n{fields}\r\n".encode()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Begins the responses to `held` and `cut`, then waits for the client to leave or leaves it itself."""
    note, connection, name = scope["log"].note, scope["tollgate.connection"], scope["path"].rpartition("/")[2]
    connection.on_disconnect(partial(note, f"gone from {name}"))
    if name not in ("held", "cut"):
        await answer_ok(scope, receive, send)
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    gone = asyncio.Event()
    connection.on_disconnect(gone.set)
    if name == "cut":
        connection.abort()
    await gone.wait()
    assert (await receive())["type"] == "http.disconnect"
    connection.on_disconnect(partial(note, f"too late for {name}"))


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Edge(), application) as running:
        yield running


def test_called_when_the_client_leaves_in_the_middle_of_an_answer(server: Server) -> None:
    with server.connect() as client:
        client.send(get("held"))
        client.read(b"first\r\n")
    assert server.log.wait(lambda: bool(server.log.notes))
    assert server.log.notes == ["too late for held"]


def test_not_called_for_requests_that_have_their_answer(server: Server) -> None:
    with server.connect() as client:
        client.send(get("a"))
        client.read(b"ok")
        client.send(get("held"))
        client.read(b"first\r\n")
    assert server.log.wait(lambda: bool(server.log.notes))
    assert server.log.notes == ["too late for held"]


def test_not_called_when_a_connection_ends_between_requests(server: Server) -> None:
    with server.connect() as client:
        client.send(get("a"))
        client.read(b"ok")
        client.close()
        assert server.log.wait(lambda: client.lost)
    assert server.log.notes == []


def test_the_request_being_answered_learns_of_it_though_others_wait_behind_it(server: Server) -> None:
    """Hazard: with pipelined requests, the server marks only the newest as disconnected."""
    with server.connect() as client:
        client.send(get("held") + get("never"))
        client.read(b"first\r\n")
    assert server.log.wait(lambda: bool(server.log.notes))
    assert server.log.notes == ["too late for held"]


def test_an_aborted_response_does_not_look_whole(server: Server) -> None:
    response = server.send(get("cut") + get("never"))
    assert not response.raw.endswith(b"0\r\n\r\n")
    assert server.log.wait(lambda: bool(server.log.notes))
    assert server.log.notes == ["too late for cut"]


def test_a_cut_response_to_http_1_0_does_not_look_whole(server: Server) -> None:
    """Hazard: its end is that of the connection, so that an orderly close says that it is complete."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(b"GET /stream/cut HTTP/1.0\r\nHost: gate\r\n\r\n")
        with client.makefile("rb") as response, pytest.raises(ConnectionResetError):
            response.read()
