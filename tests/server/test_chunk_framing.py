"""Chunked bodies that are nearly all framing: parsing them takes a worker's time, and no limit counts it."""

from collections.abc import Iterator

import pytest

from config.access import Edge
from tests.edge.server_fixture import Server, serve

HEAD = b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: gate\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge()) as running:
        yield running


def chunks(size: int, count: int, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (size, extension, b"v" * size) * count


@pytest.mark.ci
@pytest.mark.parametrize(
    "read",
    [chunks(1, 10_000), chunks(2, 10_000), chunks(1, 1, b";" + b"x" * 65_000)],
    ids=["chunks of one byte", "chunks of two bytes", "long extensions before one byte"],
)
def test_a_body_that_is_nearly_all_framing_is_cut_off(server: Server, read: bytes) -> None:
    with server.connect() as client:
        client.send(HEAD)
        while not client.lost and client.bytes_read < 4_000_000:
            client.send(read)
        assert client.bytes_read < 1_000_000
        response = client.read_to_end()
    assert (response.problem["status"], response.problem["code"]) == (400, "chunks_too_small")
    assert not any(seen.complete for seen in response.seen)


@pytest.mark.parametrize(("size", "count"), [(24, 40_000), (1, 10_000)])
def test_a_body_in_small_chunks_arrives(server: Server, size: int, count: int) -> None:
    """Clients that write as they encode send chunks of some dozens of bytes, and a few tiny ones."""
    response = server.send(HEAD, *[chunks(size, 1000)] * (count // 1000), LAST)
    assert response.statuses == [200]
    assert response.seen[0].body == b"v" * size * count


def test_a_body_of_declared_length_may_arrive_byte_by_byte(server: Server) -> None:
    head = b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: gate\r\nConnection: close\r\nContent-Length: 500\r\n\r\n"
    response = server.send(head, *[b"v"] * 500)
    assert response.statuses == [200]
