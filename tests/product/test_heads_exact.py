"""Heads of requests and responses pass unchanged, except for what a proxy must keep to itself."""

from base64 import urlsafe_b64encode
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.edge.target import RESERVED_PARAMETERS
from tests.support.deployment import Customer, Deployment
from tests.support.raw_http import RawConnection, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

# RFC 9110 section 5.6.2, without `_`, which may disguise a reserved name.
TOKEN = "!#$%&'*+-.^`|~" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NAMES = st.text(TOKEN, min_size=1, max_size=20).map(lambda name: "X-Test-" + name)
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
VALUES = st.text(VISIBLE + " \t" + "".join(map(chr, range(0x80, 0x100))), max_size=60).map(
    lambda value: value.strip(" \t")
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)

# Every character of a target but those that end or divide it, and escapes that have one reading only.
SEGMENTS = st.text("abcXYZ019-_.~!$&'()*+,;=:@", min_size=1, max_size=12).filter(lambda text: text.strip("."))
ESCAPES = st.sampled_from(["%20", "%3F", "%23", "%7B", "%C3%A4", "%c3%a4", "%41", "%7E", "%80", "%FF", "%3b", "%26"])
PATHS = st.lists(st.one_of(SEGMENTS, ESCAPES, st.builds(str.__add__, SEGMENTS, ESCAPES)), min_size=1, max_size=4).map(
    lambda segments: "/process/request/" + "/".join(segments)
)


def is_harmless(query: str) -> bool:
    """True if a query holds no parameter that clients may not set."""
    plain = unquote(query).lower().replace("_", "").replace("-", "")
    return not any(name in plain for name in RESERVED_PARAMETERS)


QUERIES = st.one_of(st.none(), st.text(VISIBLE.replace("#", ""), max_size=60).filter(is_harmless))


@pytest.mark.ci
@given(headers=HEADERS)
async def test_headers_keep_order_and_value_on_both_ways(
    deployment: Deployment, customer: Customer, headers: list[tuple[str, str]]
) -> None:
    """Names are compared without case, which RFC 9110 section 5.1 gives no meaning; repeated ones stay apart."""
    returned = [("X-Mock-Gateway-Header", f"{name}: {value}") for name, value in headers]
    head = request("GET", "/healthz", [*customer.headers.items(), *headers, *returned])
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(head)
    assert response.status == 200
    expected = [(name.lower(), value) for name, value in headers]
    assert own_headers(deployment.record(response.get("x-request-id")).headers) == expected
    assert own_headers(response.headers) == expected


def own_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers if name.lower().startswith("x-test-")]


@pytest.mark.ci
@given(path=PATHS, query=QUERIES)
async def test_path_and_query_reach_the_gateway_undecoded(
    deployment: Deployment, customer: Customer, path: str, query: str | None
) -> None:
    target = path if query is None else f"{path}?{query}"
    body = b"x"
    head = request("POST", target, [*customer.headers.items(), ("X-Mock-Gateway", "echo")], body)
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(head, method="POST")
    assert response.status == 200
    assert deployment.record(response.get("x-request-id")).target == (target if query else path)


@pytest.mark.parametrize("name", ["AUTHORIZATION", "authorization", "AuThOrIzAtIoN"])
async def test_the_case_of_field_names_means_nothing(deployment: Deployment, customer: Customer, name: str) -> None:
    head = request(
        "POST", "/upscale", [(name, f"bEaReR {customer.key}"), ("cOnTeNt-LeNgTh", "2"), ("X-MOCK-GATEWAY", "echo")]
    )
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(head + b"hi", method="POST")
    assert (response.status, response.body) == (200, b"hi")


async def test_an_encoded_response_stays_encoded(deployment: Deployment, customer: Customer) -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nVary: Accept-Encoding\r\n\r\n\x1f\x8b\0\xff"
    )
    behaviour = f"raw={urlsafe_b64encode(raw).decode()}"
    headers = [*customer.headers.items(), ("X-Mock-Gateway", behaviour), ("Accept-Encoding", "gzip;q=1.0, *;q=0")]
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(request("GET", "/stream/a.m3u8", headers))
    assert (response.body, response.get("content-encoding"), response.get("vary")) == (
        b"\x1f\x8b\0\xff",
        "gzip",
        "Accept-Encoding",
    )
    assert deployment.record(response.get("x-request-id")).header("accept-encoding") == "gzip;q=1.0, *;q=0"


async def test_a_response_to_head_has_the_length_and_no_body(deployment: Deployment, customer: Customer) -> None:
    head = request("HEAD", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", "bytes=70000")])
    async with await RawConnection.open(deployment.address) as connection:
        first = await connection.exchange(head, method="HEAD")
        second = await connection.exchange(head, method="HEAD")
    assert [(each.status, each.get("content-length"), each.body) for each in (first, second)] == [
        (200, "70000", b"")
    ] * 2


@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 304, 400, 404, 409, 418, 422, 451, 500, 501, 507, 599])
async def test_the_status_of_the_gateway_is_the_clients(
    deployment: Deployment, customer: Customer, status: int
) -> None:
    body = b"" if status in {204, 304} else b"abc"
    raw = b"HTTP/1.1 %d X\r\nLocation: /a\r\n" % status + (b"Content-Length: 3\r\n" if body else b"") + b"\r\n" + body
    behaviour = f"raw={urlsafe_b64encode(raw).decode()}"
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(
            request("GET", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", behaviour)])
        )
    assert (response.status, response.body, response.get("location")) == (status, body, "/a")
