"""What the edge tells the stages after it, and what it does with scopes that are no requests."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from starlette.types import Message, Receive, Scope, Send

from config.access import Edge
from middlewares.routes import BY_NAME
from tests.edge.server_fixture import Server, serve
from tests.support.edge import edge_before


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge(trusted_proxies=(ip_network("127.0.0.0/8"),))) as running:
        yield running


def test_it_fills_its_part_of_the_exchange(server: Server) -> None:
    response = server.send(
        b"PUT /live/movie/0.ts?pipeline=x&a=1 HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Length: 4\r\n"
        b"X-Forwarded-For: 198.51.100.4\r\nX-Forwarded-Proto: https\r\nContent-Duration: 2000\r\n\r\nWiki"
    )
    (seen,) = response.seen
    exchange = seen.exchange
    request_id = exchange.request_id.encode()
    assert exchange.route == BY_NAME["live-push"]
    assert exchange.target == b"/live/movie/0.ts?a=1"
    assert exchange.headers == [
        (b"content-duration", b"2000"),
        (b"x-request-id", request_id),
        (b"x-forwarded-for", request_id),
    ]
    assert (exchange.content_length, exchange.has_body, seen.body) == (4, True, b"Wiki")
    assert (exchange.client_address, exchange.scheme) == ("198.51.100.4", "https")


def test_a_wrong_method_gets_the_right_ones(server: Server) -> None:
    response = server.send(
        b"GET /llm HTTP/1.1\r\nHost: proxy\r\n\r\n", b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    assert response.statuses == [405, 400]
    assert b"\r\nallow: POST\r\n" in response.raw


def test_an_unknown_route_does_not_end_the_connection(server: Server) -> None:
    response = server.send(
        b"POST /start HTTP/1.1\r\nHost: proxy\r\nContent-Length: 4\r\n\r\nWiki"
        b"GET /healthz HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
    )
    assert response.statuses == [404, 200]


@pytest.mark.parametrize("host", [b"proxy", b"proxy:8080", b"127.0.0.1:1", b"[::1]:8080", b"a_b.example", b" proxy \t"])
def test_ordinary_hosts_are_accepted(server: Server, host: bytes) -> None:
    response = server.send(b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert response.statuses == [200]


@pytest.mark.parametrize("coding", [b"chunked", b"CHUNKED", b" \tchunked "])
def test_ordinary_codings_are_accepted(server: Server, coding: bytes) -> None:
    head = b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nTransfer-Encoding:" + coding
    response = server.send(head + b"\r\n\r\n4;ext=1\r\nWiki\r\n0\r\n\r\n")
    assert response.statuses == [200]
    assert response.seen[0].body == b"Wiki"


def test_a_client_that_asks_before_it_sends_is_told_to_continue(server: Server) -> None:
    head = b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Length: 4\r\n"
    with server.connect() as client:
        client.send(head + b"Expect: 100-continue\r\n\r\n")
        assert client.read(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"Wiki")
        response = client.read_to_end()
    assert response.statuses == [200]
    assert b"expect" not in dict(response.seen[0].exchange.headers)


def test_a_head_of_many_small_requests_in_one_read_is_not_too_large(server: Server) -> None:
    """The bound is on each head, not on what one read happens to bring."""
    one = b"GET /healthz HTTP/1.1\r\nHost: proxy\r\nX-A: " + b"a" * 900 + b"\r\n"
    response = server.send((one + b"\r\n") * 60 + one + b"Connection: close\r\n\r\n")
    assert response.statuses == [200] * 61


async def test_lifespan_passes_through() -> None:
    passed: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope)

    await edge_before(app, Edge())({"type": "lifespan"}, nothing, sink([]))
    assert passed == [{"type": "lifespan"}]


async def test_a_websocket_is_closed() -> None:
    sent: list[Message] = []
    await edge_before(unreachable, Edge())({"type": "websocket"}, nothing, sink(sent))
    assert [message["type"] for message in sent] == ["websocket.close"]


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError


async def nothing() -> Message:
    raise AssertionError


def sink(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send
