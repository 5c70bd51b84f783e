"""Bodies over the cap are refused: at once when they say so, else as soon as they grow past it."""

from collections.abc import Iterator

import pytest

from config.access import Edge
from tests.edge.server_fixture import Server, serve

LIMIT = 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge(max_body_bytes=LIMIT)) as running:
        yield running


def push(framing: bytes) -> bytes:
    return b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n" + framing + b"\r\n"


def chunk(size: int) -> bytes:
    return b"%x\r\n%b\r\n" % (size, b"v" * size)


def test_a_declared_length_over_the_limit_is_refused_before_any_of_it(server: Server) -> None:
    response = server.send(push(b"Content-Length: %d\r\n" % (LIMIT + 1)))
    assert response.problem["status"] == 413
    assert response.problem["code"] == "body_too_large"
    assert b"connection: close" in response.raw
    assert not response.seen


def test_a_declared_length_at_the_limit_passes(server: Server) -> None:
    response = server.send(push(b"Content-Length: %d\r\n" % LIMIT) + b"v" * LIMIT)
    assert response.statuses == [200]
    assert len(response.seen[0].body) == response.seen[0].exchange.content_length == LIMIT


def test_a_chunked_body_is_cut_off_where_it_passes_the_limit(server: Server) -> None:
    chunks = [chunk(LIMIT // 4)] * 5
    response = server.send(push(b"Transfer-Encoding: chunked\r\n"), *chunks, b"0\r\n\r\n")
    assert response.problem["status"] == 413
    (seen,) = response.seen
    assert seen.refused == "body_too_large"
    assert not seen.complete
    assert len(seen.body) <= LIMIT


def test_a_chunked_body_at_the_limit_passes(server: Server) -> None:
    response = server.send(push(b"Transfer-Encoding: chunked\r\n"), *[chunk(LIMIT // 4)] * 4, b"0\r\n\r\n")
    assert response.statuses == [200]
    (seen,) = response.seen
    assert len(seen.body) == LIMIT
    assert seen.exchange.has_body
    assert seen.exchange.content_length is None


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 0\r\n"])
def test_no_body(server: Server, framing: bytes) -> None:
    (seen,) = server.send(push(framing)).seen
    assert not seen.exchange.has_body
    assert seen.exchange.content_length == 0
