"""Hazards: control requests that are ambiguous, too large, too slow or too many."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from config.access import Edge
from config.control import ControlSettings
from config.settings import Settings
from middlewares.client_network import client_network
from tests.api.server_fixture import Served, serving
from tests.support.raw_http import RawConnection, chunk, request

ECHO = "/api/v1/echo"
CHUNKED = b"POST /api/v1/echo HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n"
KIB = 1024


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


async def parse(request: Request) -> JSONResponse:
    """As FastAPI does: whatever reading the body raises becomes a 400."""
    try:
        return JSONResponse(await request.json())
    except Exception as error:
        raise HTTPException(400, "There was an error parsing the body") from error


ROUTES = [Route(ECHO, echo, methods=["POST"]), Route("/api/v1/parse", parse, methods=["POST"])]


def control(**settings: Any) -> Settings:
    trusted = Edge(trusted_proxies=(ip_network("127.0.0.1/32"),))
    return Settings(control=ControlSettings(**settings), edge=trusted)


@pytest.fixture
async def served(capfd: pytest.CaptureFixture[str]) -> AsyncIterator[Served]:
    settings = control(max_body_bytes=KIB, body_seconds=0.2, requests_per_minute=3)
    async with serving(capfd, settings, ROUTES) as running:
        yield running


async def test_a_body_within_its_bounds_arrives(served: Served) -> None:
    assert (await served.request(ECHO, method="POST", body=b"a" * KIB)).body == b'{"bytes":1024}'
    chunked = await served.send(CHUNKED, *[chunk(b"a" * 512)] * 2, chunk(b""))
    assert chunked.body == b'{"bytes":1024}'
    assert [line["bytes_in"] for line in await served.lines(2)] == [KIB, KIB]


async def test_a_declared_length_over_the_limit_is_refused_before_it_is_read(served: Served) -> None:
    async with await RawConnection.open(served.address) as connection:
        head = request("POST", "/api/v1/none", [("Content-Length", str(KIB + 1)), ("Expect", "100-continue")])
        await connection.send(head)
        response = await connection.head()
        assert (response.status, response.get("connection")) == (413, "close")
    assert served.sample("tollgate_refusals_total", code="body_too_large") == 1


@pytest.mark.parametrize("path", ["echo", "parse"])
async def test_a_chunked_body_over_the_limit_is_refused(served: Served, path: str) -> None:
    head = CHUNKED.replace(b"echo", path.encode())
    response = await served.send(head, chunk(b"a" * KIB), chunk(b"a"), chunk(b""))
    assert (response.status, response.code, response.get("connection")) == (413, "body_too_large", "close")


@pytest.mark.parametrize("path", ["echo", "parse"])
async def test_a_body_that_drips_in_is_refused_in_time(served: Served, path: str) -> None:
    """Hazard: a deadline that every piece restarts."""
    async with await RawConnection.open(served.address) as connection:
        await connection.send(CHUNKED.replace(b"echo", path.encode()))
        answering = asyncio.create_task(connection.response("POST"))
        while not answering.done():
            await connection.send(chunk(b"a"))
            await asyncio.sleep(0.05)
        response = await answering
    assert (response.status, response.code, response.get("connection")) == (408, "request_timeout", "close")


async def test_a_client_that_leaves_within_its_body_is_no_error_of_ours(served: Served) -> None:
    async with await RawConnection.open(served.address) as connection:
        await connection.send(CHUNKED + chunk(b"a"))
        await asyncio.sleep(0.05)
    [line] = await served.lines()
    assert (line["error"], line["level"]) == ("client_disconnected", "info")


async def test_an_unread_body_needs_no_time(served: Served) -> None:
    """A 404 is answered at once, though its body has not arrived."""
    async with await RawConnection.open(served.address) as connection:
        await connection.send(CHUNKED.replace(b"echo", b"none"))
        assert (await connection.response("POST")).status == 404


async def test_an_address_may_call_so_often_in_a_minute(served: Served) -> None:
    assert [(await served.request("/api/v1/none")).status for _ in range(3)] == [404] * 3
    response = await served.request("/.well-known/none")
    assert (response.status, response.code) == (429, "rate_limited")
    assert 59 <= int(response.get("retry-after") or "") <= 61
    assert b'"limit":3' in response.body
    other = await served.request("/.well-known/none", ("X-Forwarded-For", "192.0.2.1"))
    assert other.status == 404, "an address of its own behind a trusted proxy"
    assert (await served.request("/healthz")).status == 200, "the pipeline has limits of its own"
    assert [line["client"] for line in await served.lines(6)][-2:] == ["192.0.2.1", "127.0.0.1"]
    assert served.sample("tollgate_refusals_total", code="rate_limited") == 1
    assert served.sample("tollgate_requests_total", route="well-known", status="429", outcome="refused") == 1


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /api/v1/none HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET /api/v1/none HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed_request"),
        (b"POST /api/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400, "malformed_request"),
        (b"POST /api/v1/echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "malformed_request"),
        (b"GET /api/v1/none HTTP/1.1\r\nHost: a\r\nX_Api_Key: a\r\n\r\n", 400, "reserved_field_name"),
        (b"TRACE /api/v1/none HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method_not_implemented"),
    ],
    ids=["no host", "two hosts", "length", "chunked in 1.0", "disguised", "trace"],
)
async def test_an_ambiguous_request_is_refused_and_its_connection_closed(
    served: Served, head: bytes, status: int, code: str
) -> None:
    async with await RawConnection.open(served.address) as connection:
        response = await connection.exchange(head)
        assert (response.status, response.code) == (status, code)
        assert await connection.read_to_end() == b""


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_client_does_not_get_a_limit_for_each_of_its_addresses(address: str, client: str) -> None:
    assert client_network(address) == client
