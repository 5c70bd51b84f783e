"""What the client sends is what the gateway gets, and the other way round, whatever its size, shape and framing."""

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import AsyncExitStack
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from middlewares.edge.target import RESERVED_PARAMETERS
from proxy.standin.media import pattern
from proxy.standin.record import Record
from tests.support.deployment import Customer, Deployment
from tests.support.wire import Answer, Wire, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

MIB = 1 << 20
ROUTES = st.sampled_from(
    [("PUT", "/live/m/0.ts"), ("POST", "/live/m/0.mp4"), ("POST", "/process/request/a"), ("POST", "/upscale")]
)
SIZES = st.one_of(st.integers(0, 300), st.integers(0, 200_000), st.sampled_from([65_535, 65_536, 65_537, 131_072]))

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

thorough = settings(
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # no examples kept: each talks to another gate
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def data(size: int) -> bytes:
    return b"".join(pattern(size))


def split(body: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The body in pieces, cut at these places as far as it has them."""
    start = 0
    for stop in sorted({cut % (len(body) + 1) for cut in cuts} | {len(body)}):
        if stop > start:
            yield body[start:stop]
            start = stop


def framed(pieces: Iterator[bytes], chunked: bool) -> Iterator[bytes]:
    """The pieces, each a chunk of its own if so."""
    if not chunked:
        yield from pieces
        return
    yield from map(chunk, pieces)
    yield chunk(b"")


def credential(customer: Customer) -> tuple[str, str]:
    return "X-Api-Key", customer.key


def last(gate: Deployment, answer: Answer) -> Record:
    """What the gateway saw of the request that was answered so."""
    identity = answer.get("x-request-id")
    [record] = [each for each in gate.gateway.requests if each.request_id == identity]
    return record


@thorough
@given(
    route=ROUTES,
    size=SIZES,
    cuts=st.lists(st.integers(0, 1 << 20), max_size=6),
    chunked=st.booleans(),
    told=st.sampled_from(["echo", "echo,chunked", "echo,close", "echo,hangup", "echo,early"]),
)
async def test_a_body_comes_back_as_it_went(
    gate: Deployment, somebody: Customer, route: tuple[str, str], size: int, cuts: list[int], chunked: bool, told: str
) -> None:
    method, target = route
    body = data(size)
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
    head = request(method, target, [credential(somebody), ("X-Standin", told), framing])
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head, *framed(split(body, cuts), chunked), method=method)
    assert answer.status == 200
    assert answer.body == body
    record = last(gate, answer)
    assert (record.method, record.target, record.body_length) == (method, target, size)
    assert record.body_sha256 == hashlib.sha256(body).hexdigest()
    if not chunked:
        assert record.header("content-length") == str(size)


@thorough
@given(size=st.integers(0, 20_000), pieces=st.integers(1, 9), kind=st.sampled_from(["length", "chunked", "close"]))
async def test_an_answer_arrives_whole_however_it_is_framed(
    gate: Deployment, somebody: Customer, size: int, pieces: int, kind: str
) -> None:
    body = data(size)
    fields = {"length": b"Content-Length: %d\r\n" % size, "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}
    coded = chunk(body) + (chunk(b"") if body else b"") if kind == "chunked" else body
    raw = b"HTTP/1.1 203 So it is\r\nContent-Type: x/y\r\n" + fields[kind] + b"\r\n" + coded
    told = f"raw={urlsafe_b64encode(raw).decode()},chunks={pieces}"
    head = request("GET", "/stream/a.ts", [credential(somebody), ("X-Standin", told)])
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head)
    assert (answer.status, answer.body, answer.get("content-type")) == (203, body, "x/y")
    assert answer.get("content-length") == (str(size) if kind == "length" else None)


@thorough
@given(fields=FIELDS)
async def test_fields_keep_order_and_value_on_both_ways(
    gate: Deployment, somebody: Customer, fields: list[tuple[str, str]]
) -> None:
    """Names are compared without case, which RFC 9110 section 5.1 gives no meaning; repeated ones stay apart."""
    told = [("X-Standin-Header", f"{name}: {value}") for name, value in fields]
    head = request("GET", "/healthz", [credential(somebody), *fields, *told])
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head)
    assert answer.status == 200
    expected = [(name.lower(), value) for name, value in fields]
    assert own(last(gate, answer).headers) == expected
    assert own(answer.fields) == expected


def own(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in fields if name.lower().startswith("x-test-")]


@thorough
@given(path=PATHS, query=QUERIES)
async def test_path_and_query_reach_the_gateway_undecoded(
    gate: Deployment, somebody: Customer, path: str, query: str | None
) -> None:
    target = path if query is None else f"{path}?{query}"
    body = b"x"
    head = request("POST", target, [credential(somebody), ("X-Standin", "echo")], body)
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head, method="POST")
    assert answer.status == 200
    assert last(gate, answer).target == (target if query else path)


@pytest.mark.parametrize("field", ["AUTHORIZATION", "authorization", "AuThOrIzAtIoN"])
async def test_the_case_of_field_names_means_nothing(gate: Deployment, somebody: Customer, field: str) -> None:
    head = request(
        "POST", "/upscale", [(field, f"bEaReR {somebody.key}"), ("cOnTeNt-LeNgTh", "2"), ("X-STANDIN", "echo")]
    )
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head + b"hi", method="POST")
    assert (answer.status, answer.body) == (200, b"hi")


async def test_an_encoded_answer_stays_encoded(gate: Deployment, somebody: Customer) -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nVary: Accept-Encoding\r\n\r\n\x1f\x8b\0\xff"
    )
    told = f"raw={urlsafe_b64encode(raw).decode()}"
    fields = [credential(somebody), ("X-Standin", told), ("Accept-Encoding", "gzip;q=1.0, *;q=0")]
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(request("GET", "/stream/a.m3u8", fields))
    assert (answer.body, answer.get("content-encoding"), answer.get("vary")) == (
        b"\x1f\x8b\0\xff",
        "gzip",
        "Accept-Encoding",
    )
    assert last(gate, answer).header("accept-encoding") == "gzip;q=1.0, *;q=0"


async def test_an_answer_to_head_has_the_length_and_no_body(gate: Deployment, somebody: Customer) -> None:
    head = request("HEAD", "/stream/a.ts", [credential(somebody), ("X-Standin", "bytes=70000")])
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
        answer = await wire.ask(request("GET", "/stream/a.ts", [credential(somebody), ("X-Standin", told)]))
    assert (answer.status, answer.body, answer.get("location")) == (status, body, "/a")


@pytest.mark.parametrize(("size", "chunked"), [(3 * MIB + 1, True), (16 * MIB, False), (64 * MIB, True)])
async def test_a_large_body_comes_back_as_it_went(
    gate: Deployment, somebody: Customer, size: int, chunked: bool
) -> None:
    sent, received = hashlib.sha256(), hashlib.sha256()
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
    async with await Wire.open(gate.address) as wire:

        async def say() -> None:
            await wire.send(request("PUT", "/live/m/1.ts", [credential(somebody), ("X-Standin", "echo"), framing]))
            for piece in pattern(size, 250_007):
                sent.update(piece)
                await wire.send(chunk(piece) if chunked else piece)
            if chunked:
                await wire.send(chunk(b""))

        saying = asyncio.create_task(say())
        head = await wire.head()
        count = 0
        async for piece in wire.body(head):
            count += len(piece)
            received.update(piece)
        await saying
    assert (head.status, count, received.hexdigest()) == (200, size, sent.hexdigest())


async def test_both_ways_of_64_mib_are_accounted_for_to_the_byte(gate: Deployment) -> None:
    customer = await gate.customer()
    size = 64 * MIB
    async with await Wire.open(gate.address) as wire:
        await wire.send(request("GET", "/stream/a.ts", [credential(customer), ("X-Standin", f"bytes={size}")]))
        head = await wire.head()
        received = hashlib.sha256()
        async for piece in wire.body(head):
            received.update(piece)
    assert (head.status, head.get("content-length")) == (200, str(size))
    assert received.hexdigest() == digest(pattern(size))
    [event] = await gate.settled(1, customer.app)
    assert (event["bytes_in"], event["bytes_out"]) == (0, size)


def digest(pieces: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


async def test_a_metered_body_reaches_the_gateway_as_it_was_written(gate: Deployment, somebody: Customer) -> None:
    """It is read for what it declares, not written anew: spaces, order, escapes, unknown members stay."""
    body = b' {"prompt" : "\\u00e4\xc3\xa4", "zzz":1.50, "model_id":"m" ,"width":64,"height":64}\n'
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(request("POST", "/text-to-image", [credential(somebody)], body), method="POST")
    assert json.loads(answer.body)["images"]
    assert last(gate, answer).body_sha256 == hashlib.sha256(body).hexdigest()


async def test_twenty_answers_at_once_do_not_mix(gate: Deployment, somebody: Customer) -> None:
    fields = [credential(somebody), ("X-Standin", "echo,chunks=7")]
    bodies = [bytes([number]) * (100_000 + number) for number in range(20)]
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(await Wire.open(gate.address)) for _ in bodies]
        for _ in range(3):
            asked = (
                wire.ask(request("PUT", "/live/m/2.ts", fields, body)) for wire, body in zip(wires, bodies, strict=True)
            )
            assert [answer.body for answer in await asyncio.gather(*asked)] == bodies


@pytest.mark.parametrize("told", ["bytes=70000", "bytes=70000,chunked", "bytes=70000,chunked,close"])
async def test_a_client_of_http_1_0_reads_until_the_end(gate: Deployment, somebody: Customer, told: str) -> None:
    """It knows no chunks (RFC 9112 section 6.1)."""
    head = request("GET", "/stream/a.ts", [credential(somebody), ("X-Standin", told)])
    async with await Wire.open(gate.address) as wire:
        await wire.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await wire.head()
        body = await wire.rest()
    assert (answer.status, answer.get("transfer-encoding"), body == data(70_000)) == (200, None, True)
