"""Answers that must not be passed on: ambiguous framing, broken syntax, floods."""

import pytest

from proxy.upstream import ConnectionPool, MalformedResponse
from tests.upstream.corpus import FLOODS, MALFORMED, OK
from tests.upstream.fakes import Handler, OpenPool, Reader, Serve, Writer, answering, get, read, read_head, until


def in_pieces(raw: bytes, size: int) -> Handler:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        for start in range(0, len(raw), size):
            writer.write(raw[start : start + size])
            await writer.drain()
        await reader.read()

    return handler


async def refused(pool: ConnectionPool) -> None:
    with pytest.raises(MalformedResponse) as refusal:
        await read(await get(pool))
    assert refusal.value.request_sent
    assert str(refusal.value).startswith(f"{pool.origin}: malformed response: ")
    assert pool.idle == 0
    await until(lambda: pool.open == 0)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_answer_is_refused_and_its_connection_dropped(
    serve: Serve, open_pool: OpenPool, name: str
) -> None:
    await refused(open_pool(await serve(answering(MALFORMED[name]))))


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_refused_however_it_arrives(serve: Serve, open_pool: OpenPool, name: str) -> None:
    await refused(open_pool(await serve(answering(FLOODS[name]))))
    await refused(open_pool(await serve(in_pieces(FLOODS[name], 1000))))


async def test_one_byte_chunks_are_no_flood(serve: Serve, open_pool: OpenPool) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    assert await read(await get(open_pool(await serve(answering(raw))))) == b"x" * 50_000
    assert await read(await get(open_pool(await serve(in_pieces(raw, 100))))) == b"x" * 50_000


async def test_the_error_repeats_nothing_that_the_gateway_sent(serve: Serve, open_pool: OpenPool) -> None:
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: canary\r\nX-canary: can\0ary\r\n\r\n"
    with pytest.raises(MalformedResponse) as refusal:
        await get(open_pool(await serve(answering(raw))))
    assert "can" not in str(refusal.value)


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        (b"GET", OK),
        (b"GET", b"HTTP/1.1 204 None\r\n\r\n"),
        (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("surplus", [b"x", b"\0", b"H", b"HTTP/1.1 200 OK\r\n", OK, b"0\r\n\r\n"])
async def test_bytes_after_a_complete_response_never_reach_the_next_one(
    serve: Serve, open_pool: OpenPool, method: bytes, raw: bytes, surplus: bytes
) -> None:
    pool = open_pool(await serve(answering(raw + surplus)))
    response = await get(pool, method=method)
    await read(response)
    assert response.complete
    assert pool.idle == 0
    await until(lambda: pool.open == 0)
