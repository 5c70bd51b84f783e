"""Clients that keep a connection and send little: each is let go, none holds more than its bounds."""

from collections.abc import Iterator

import pytest

from config.access import Edge
from tests.edge.server_fixture import Client, Server, serve

HEAD = b"GET /healthz HTTP/1.1\r\nHost: gate\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge(header_seconds=0.3)) as running:
        yield running


def drip(client: Client, drop: bytes) -> None:
    """Send `drop` again and again until the server closes; the socket's own deadline ends a test that fails."""
    while not client.lost:
        client.send(drop)


def test_a_connection_that_sends_nothing_is_closed(server: Server) -> None:
    assert server.send().raw == b""


def test_half_a_head_is_answered_408(server: Server) -> None:
    response = server.send(HEAD)
    assert response.problem["status"] == 408
    assert response.problem["code"] == "request_timeout"


@pytest.mark.ci
def test_a_head_that_drips_in_does_not_restart_the_clock(server: Server) -> None:
    with server.connect() as client:
        client.send(HEAD + b"X-A: ")
        drip(client, b"a")
        assert client.read_to_end().problem["status"] == 408


def test_empty_lines_do_not_keep_a_connection(server: Server) -> None:
    with server.connect() as client:
        drip(client, b"\r\n")
        assert client.read_to_end().raw == b""


def test_the_second_request_of_a_connection_has_the_same_time(server: Server) -> None:
    response = server.send(HEAD + b"\r\n", HEAD)
    assert response.statuses == [200, 408]


@pytest.mark.ci
def test_an_endless_head_is_cut_off(server: Server) -> None:
    with server.connect() as client:
        client.send(HEAD + b"X-A: ")
        drip(client, b"a" * 16_384)
        assert client.read_to_end().problem["status"] == 431
        assert client.bytes_read < 600_000


@pytest.mark.ci
def test_endless_trailers_are_cut_off(server: Server) -> None:
    with server.connect() as client:
        client.send(b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ")
        drip(client, b"a" * 16_384)
        response = client.read_to_end()
    assert response.problem["status"] == 431
    assert not any(seen.complete for seen in response.seen)


def test_a_metered_body_that_stalls_is_answered_408(server: Server) -> None:
    response = server.send(b"POST /llm HTTP/1.1\r\nHost: gate\r\nContent-Length: 100\r\n\r\n", b'{"model":')
    assert response.problem["status"] == 408
    assert [seen.refused for seen in response.seen] == ["request_timeout"]


def test_an_upload_may_take_its_time_between_pieces(server: Server) -> None:
    """The time for a head does not bound a body; a chunk header that arrives alone starts no clock."""
    with server.connect() as client:
        client.send(b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"4\r\n")
        assert server.send().raw == b""  # closed after `header_seconds`
        client.send(b"Wiki\r\n0\r\n\r\n")
        assert client.read(b"ok").startswith(b"HTTP/1.1 200")


@pytest.mark.ci
def test_what_is_left_of_an_answered_request_is_not_read_for_ever(server: Server) -> None:
    head = b"PUT /unknown HTTP/1.1\r\nHost: gate\r\nContent-Length: 200000000\r\n\r\n"
    with server.connect() as client:
        client.send(head)
        client.read(b"}")
        drip(client, b"v" * 65_536)
        assert client.read_to_end().raw == b""
        assert client.bytes_read < 1_000_000
