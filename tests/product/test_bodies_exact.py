"""What the client sends is what the gateway gets, and the other way round, whatever its size, shape and framing."""

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.tenancy.names import at_gateway
from proxy.mock_gateway.media import pattern
from tests.support.deployment import Customer, Deployment
from tests.support.wire import Wire, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

MIB = 1 << 20
ROUTES = st.sampled_from(
    [("PUT", "/live/m/0.ts"), ("POST", "/live/m/0.mp4"), ("POST", "/process/request/a"), ("POST", "/upscale")]
)
SIZES = st.one_of(st.integers(0, 300), st.integers(0, 200_000), st.sampled_from([65_535, 65_536, 65_537, 131_072]))


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
    head = request(method, target, [*somebody.headers.items(), ("X-Mock-Gateway", told), framing])
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head, *framed(split(body, cuts), chunked), method=method)
    assert answer.status == 200
    assert answer.body == body
    record = gate.record(answer.get("x-request-id"))
    target = target.replace("/m/", f"/{at_gateway(somebody.app, 'm')}/")
    assert (record.method, record.target, record.body_length) == (method, target, size)
    assert record.body_sha256 == hashlib.sha256(body).hexdigest()
    if not chunked:
        assert record.header("content-length") == str(size)


@given(size=st.integers(0, 20_000), pieces=st.integers(1, 9), kind=st.sampled_from(["length", "chunked", "close"]))
async def test_an_answer_arrives_whole_however_it_is_framed(
    gate: Deployment, somebody: Customer, size: int, pieces: int, kind: str
) -> None:
    body = data(size)
    fields = {"length": b"Content-Length: %d\r\n" % size, "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}
    coded = chunk(body) + (chunk(b"") if body else b"") if kind == "chunked" else body
    raw = b"HTTP/1.1 203 So it is\r\nContent-Type: x/y\r\n" + fields[kind] + b"\r\n" + coded
    told = f"raw={urlsafe_b64encode(raw).decode()},chunks={pieces}"
    head = request("GET", "/stream/a.ts", [*somebody.headers.items(), ("X-Mock-Gateway", told)])
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(head)
    assert (answer.status, answer.body, answer.get("content-type")) == (203, body, "x/y")
    assert answer.get("content-length") == (str(size) if kind == "length" else None)


@pytest.mark.parametrize(("size", "chunked"), [(3 * MIB + 1, True), (16 * MIB, False), (64 * MIB, True)])
async def test_a_large_body_comes_back_as_it_went(
    gate: Deployment, somebody: Customer, size: int, chunked: bool
) -> None:
    sent, received = hashlib.sha256(), hashlib.sha256()
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
    async with await Wire.open(gate.address) as wire:

        async def say() -> None:
            await wire.send(
                request("PUT", "/live/m/1.ts", [*somebody.headers.items(), ("X-Mock-Gateway", "echo"), framing])
            )
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
        await wire.send(
            request("GET", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", f"bytes={size}")])
        )
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
        answer = await wire.ask(request("POST", "/text-to-image", somebody.headers.items(), body), method="POST")
    assert json.loads(answer.body)["images"]
    assert gate.record(answer.get("x-request-id")).body_sha256 == hashlib.sha256(body).hexdigest()


async def test_twenty_answers_at_once_do_not_mix(gate: Deployment, somebody: Customer) -> None:
    fields = [*somebody.headers.items(), ("X-Mock-Gateway", "echo,chunks=7")]
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
    head = request("GET", "/stream/a.ts", [*somebody.headers.items(), ("X-Mock-Gateway", told)])
    async with await Wire.open(gate.address) as wire:
        await wire.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await wire.head()
        body = await wire.rest()
    assert (answer.status, answer.get("transfer-encoding"), body == data(70_000)) == (200, None, True)
