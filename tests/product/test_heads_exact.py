"""The heads of requests and answers pass unchanged, but for what a gate must keep to itself."""

from base64 import urlsafe_b64encode
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.edge.target import RESERVED_PARAMETERS
from tests.support.deployment import Customer, Deployment
from tests.support.wire import Wire, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

# RFC 9110 section 5.6.2, without `_`, which may disguise a reserved name.
TOKEN = "!#$%&'*+-.^`|~" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NAMES = st.text(TOKEN, min_size=1, max_size=20).map(lambda name: "X-Test-" + name)
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
VALUES = st.text(VISIBLE + " \t" + "".join(map(chr, range(0x80, 0x100))), max_size=60).map(
    lambda value: value.strip(" \t")
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=12)

# Everything a target may hold but what ends or divides it, and escapes that have one reading only.
SEGMENTS = st.text("abcXYZ019-_.~!$&'()*+,;=:@", min_size=1, max_size=12).filter(lambda text: text.strip("."))
ESCAPES = st.sampled_from(["%20", "%3F", "%23", "%7B", "%C3%A4", "%c3%a4", "%41", "%7E", "%80", "%FF", "%3b", "%26"])
PATHS = st.lists(st.one_of(SEGMENTS, ESCAPES, st.builds(str.__add__, SEGMENTS, ESCAPES)), min_size=1, max_size=4).map(
    lambda segments: "/process/request/" + "/".join(segments)
)


def is_harmless(query: str) -> bool:
    """Does it hold no parameter that a client may not set?"""
    plain = unquote(query).lower().replace("_", "").replace("-", "")
    return not any(name.decode() in plain for name in RESERVED_PARAMETERS)


QUERIES = st.one_of(st.none(), st.text(VISIBLE.replace("#", ""), max_size=60).filter(is_harmless))


@given(fields=FIELDS)
async def test_fields_keep_order_and_value_on_both_ways(
    gate: Deployment, somebody: Customer, fields: list[tuple[str, str]]
) -> None:
    """Names are compared without case, which RFC 9110 section 5.1 gives no meaning; repeated ones stay apart."""
    told = [("X-Mock-Gateway-Header", f"{name}: {value}") for name, value in fields]
    head = request("GET", "/healthz", [*somebody.headers.items(), *fields, *told])
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head)
    assert answer.status == 200
    expected = [(name.lower(), value) for name, value in fields]
    assert own(gate.record(answer.get("x-request-id")).headers) == expected
    assert own(answer.fields) == expected


def own(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in fields if name.lower().startswith("x-test-")]


@given(path=PATHS, query=QUERIES)
async def test_path_and_query_reach_the_gateway_undecoded(
    gate: Deployment, somebody: Customer, path: str, query: str | None
) -> None:
    target = path if query is None else f"{path}?{query}"
    body = b"x"
    head = request("POST", target, [*somebody.headers.items(), ("X-Mock-Gateway", "echo")], body)
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head, method="POST")
    assert answer.status == 200
    assert gate.record(answer.get("x-request-id")).target == (target if query else path)


@pytest.mark.parametrize("field", ["AUTHORIZATION", "authorization", "AuThOrIzAtIoN"])
async def test_the_case_of_field_names_means_nothing(gate: Deployment, somebody: Customer, field: str) -> None:
    head = request(
        "POST", "/upscale", [(field, f"bEaReR {somebody.key}"), ("cOnTeNt-LeNgTh", "2"), ("X-MOCK-GATEWAY", "echo")]
    )
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head + b"hi", method="POST")
    assert (answer.status, answer.body) == (200, b"hi")


async def test_an_encoded_answer_stays_encoded(gate: Deployment, somebody: Customer) -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nVary: Accept-Encoding\r\n\r\n\x1f\x8b\0\xff"
    )
    told = f"raw={urlsafe_b64encode(raw).decode()}"
    fields = [*somebody.headers.items(), ("X-Mock-Gateway", told), ("Accept-Encoding", "gzip;q=1.0, *;q=0")]
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(request("GET", "/stream/a.m3u8", fields))
    assert (answer.body, answer.get("content-encoding"), answer.get("vary")) == (
        b"\x1f\x8b\0\xff",
        "gzip",
        "Accept-Encoding",
    )
    assert gate.record(answer.get("x-request-id")).header("accept-encoding") == "gzip;q=1.0, *;q=0"


async def test_an_answer_to_head_has_the_length_and_no_body(gate: Deployment, somebody: Customer) -> None:
    head = request("HEAD", "/stream/a.ts", [*somebody.headers.items(), ("X-Mock-Gateway", "bytes=70000")])
    async with await Wire.open(gate.address) as wire:
        first = await wire.ask(head, method="HEAD")
        second = await wire.ask(head, method="HEAD")
    assert [(each.status, each.get("content-length"), each.body) for each in (first, second)] == [
        (200, "70000", b"")
    ] * 2


@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 304, 400, 404, 409, 418, 422, 451, 500, 501, 507, 599])
async def test_the_status_of_the_gateway_is_the_clients(gate: Deployment, somebody: Customer, status: int) -> None:
    body = b"" if status in {204, 304} else b"abc"
    raw = b"HTTP/1.1 %d X\r\nLocation: /a\r\n" % status + (b"Content-Length: 3\r\n" if body else b"") + b"\r\n" + body
    told = f"raw={urlsafe_b64encode(raw).decode()}"
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(request("GET", "/stream/a.ts", [*somebody.headers.items(), ("X-Mock-Gateway", told)]))
    assert (answer.status, answer.body, answer.get("location")) == (status, body, "/a")
