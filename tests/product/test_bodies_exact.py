"""Bodies arrive exactly as they were sent, in both directions, whatever their size, pieces and framing."""

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
from tests.support.raw_http import RawConnection, chunk, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

MIB = 1 << 20
ROUTES = st.sampled_from(
    [("PUT", "/live/m/0.ts"), ("POST", "/live/m/0.mp4"), ("POST", "/process/request/a"), ("POST", "/upscale")]
)
SIZES = st.one_of(st.integers(0, 300), st.integers(0, 200_000), st.sampled_from([65_535, 65_536, 65_537, 131_072]))


def data(size: int) -> bytes:
    return b"".join(pattern(size))


def split(body: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield the body in pieces, cut at these offsets modulo its length."""
    start = 0
    for stop in sorted({cut % (len(body) + 1) for cut in cuts} | {len(body)}):
        if stop > start:
            yield body[start:stop]
            start = stop


def framed(pieces: Iterator[bytes], chunked: bool) -> Iterator[bytes]:
    """Yield the pieces as they are, or each as a chunk of its own."""
    if not chunked:
        yield from pieces
        return
    yield from map(chunk, pieces)
    yield chunk(b"")


@pytest.mark.ci
@given(
    route=ROUTES,
    size=SIZES,
    cuts=st.lists(st.integers(0, 1 << 20), max_size=6),
    chunked=st.booleans(),
    behaviour=st.sampled_from(["echo", "echo,chunked", "echo,close", "echo,hangup", "echo,early"]),
)
async def test_a_body_comes_back_as_it_went(
    deployment: Deployment,
    customer: Customer,
    route: tuple[str, str],
    size: int,
    cuts: list[int],
    chunked: bool,
    behaviour: str,
) -> None:
    method, target = route
    body = data(size)
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
    head = request(method, target, [*customer.headers.items(), ("X-Mock-Gateway", behaviour), framing])
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(head, *framed(split(body, cuts), chunked), method=method)
    assert response.status == 200
    assert response.body == body
    record = deployment.record(response.get("x-request-id"))
    target = target.replace("/m/", f"/{at_gateway(customer.app, 'm')}/")
    assert (record.method, record.target, record.body_length) == (method, target, size)
    assert record.body_sha256 == hashlib.sha256(body).hexdigest()
    if not chunked:
        assert record.header("content-length") == str(size)


@pytest.mark.ci
@given(size=st.integers(0, 20_000), pieces=st.integers(1, 9), kind=st.sampled_from(["length", "chunked", "close"]))
async def test_a_response_arrives_whole_however_it_is_framed(
    deployment: Deployment, customer: Customer, size: int, pieces: int, kind: str
) -> None:
    body = data(size)
    framing = {"length": b"Content-Length: %d\r\n" % size, "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}
    coded = chunk(body) + (chunk(b"") if body else b"") if kind == "chunked" else body
    raw = b"HTTP/1.1 203 So it is\r\nContent-Type: x/y\r\n" + framing[kind] + b"\r\n" + coded
    behaviour = f"raw={urlsafe_b64encode(raw).decode()},chunks={pieces}"
    head = request("GET", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", behaviour)])
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(head)
    assert (response.status, response.body, response.get("content-type")) == (203, body, "x/y")
    assert response.get("content-length") == (str(size) if kind == "length" else None)


@pytest.mark.parametrize(("size", "chunked"), [(3 * MIB + 1, True), (16 * MIB, False), (64 * MIB, True)])
async def test_a_large_body_comes_back_as_it_went(
    deployment: Deployment, customer: Customer, size: int, chunked: bool
) -> None:
    sent, received = hashlib.sha256(), hashlib.sha256()
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
    async with await RawConnection.open(deployment.address) as connection:

        async def send_all() -> None:
            await connection.send(
                request("PUT", "/live/m/1.ts", [*customer.headers.items(), ("X-Mock-Gateway", "echo"), framing])
            )
            for piece in pattern(size, 250_007):
                sent.update(piece)
                await connection.send(chunk(piece) if chunked else piece)
            if chunked:
                await connection.send(chunk(b""))

        sending = asyncio.create_task(send_all())
        head = await connection.head()
        count = 0
        async for piece in connection.body(head):
            count += len(piece)
            received.update(piece)
        await sending
    assert (head.status, count, received.hexdigest()) == (200, size, sent.hexdigest())


@pytest.mark.ci
async def test_both_ways_of_64_mib_are_accounted_for_to_the_byte(deployment: Deployment) -> None:
    customer = await deployment.customer()
    size = 64 * MIB
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(
            request("GET", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", f"bytes={size}")])
        )
        head = await connection.head()
        received = hashlib.sha256()
        async for piece in connection.body(head):
            received.update(piece)
    assert (head.status, head.get("content-length")) == (200, str(size))
    assert received.hexdigest() == digest(pattern(size))
    [event] = await deployment.settled(1, customer.app)
    assert (event["bytes_in"], event["bytes_out"]) == (0, size)


def digest(pieces: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


async def test_a_metered_body_reaches_the_gateway_as_it_was_written(deployment: Deployment, customer: Customer) -> None:
    """A metered body is parsed but not rewritten: spaces, order, escapes and unknown members stay."""
    body = b' {"prompt" : "\\u00e4\xc3\xa4", "zzz":1.50, "model_id":"m" ,"width":64,"height":64}\n'
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(
            request("POST", "/text-to-image", customer.headers.items(), body), method="POST"
        )
    assert json.loads(response.body)["images"]
    assert deployment.record(response.get("x-request-id")).body_sha256 == hashlib.sha256(body).hexdigest()


async def test_twenty_responses_at_once_do_not_mix(deployment: Deployment, customer: Customer) -> None:
    headers = [*customer.headers.items(), ("X-Mock-Gateway", "echo,chunks=7")]
    bodies = [bytes([number]) * (100_000 + number) for number in range(20)]
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(await RawConnection.open(deployment.address)) for _ in bodies]
        for _ in range(3):
            exchanges = (
                connection.exchange(request("PUT", "/live/m/2.ts", headers, body))
                for connection, body in zip(connections, bodies, strict=True)
            )
            assert [response.body for response in await asyncio.gather(*exchanges)] == bodies


@pytest.mark.parametrize("behaviour", ["bytes=70000", "bytes=70000,chunked", "bytes=70000,chunked,close"])
async def test_a_client_of_http_1_0_reads_until_the_end(
    deployment: Deployment, customer: Customer, behaviour: str
) -> None:
    """A client of HTTP/1.0 knows no chunks (RFC 9112 section 6.1)."""
    head = request("GET", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", behaviour)])
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
        response = await connection.head()
        body = await connection.read_to_end()
    assert (response.status, response.get("transfer-encoding"), body == data(70_000)) == (200, None, True)
