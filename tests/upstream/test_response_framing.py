"""Where a response ends: the cases of RFC 9112 section 6.3 in their order, and whether the connection survives."""

import asyncio
import socket
import struct

import pytest

from proxy.upstream import ResponseTruncated
from tests.upstream.corpus import COMPLETE, OK, TRUNCATED, Complete
from tests.upstream.fakes import OpenPool, Reader, Serve, Writer, answering, get, read, read_head

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("case", COMPLETE, ids=repr)
async def test_a_response_ends_where_rfc_9112_says(serve: Serve, open_pool: OpenPool, case: Complete) -> None:
    pool = open_pool(await serve(answering(case.raw, close=not case.kept)))
    response = await get(pool, method=case.method)
    assert (response.status, await read(response)) == (case.status, case.body)
    assert response.complete
    assert await response.chunk() == b""
    assert pool.idle == case.kept


@pytest.mark.parametrize("name", TRUNCATED)
async def test_a_truncated_response_never_looks_complete(serve: Serve, open_pool: OpenPool, name: str) -> None:
    pool = open_pool(await serve(answering(TRUNCATED[name], close=True)))
    received = []
    with pytest.raises(ResponseTruncated, match="inside its response"):  # noqa: PT012
        response = await get(pool)
        while data := await response.chunk():
            received.append(data)
    assert b"".join(received) == (b"abc" if b"abc" in TRUNCATED[name] else b"")
    assert pool.idle == 0


async def test_a_reset_ends_no_body_framed_by_the_close(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await asked.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    asked = asyncio.Event()
    pool = open_pool(await serve(handler))
    response = await get(pool)
    assert await response.chunk() == b"half"
    asked.set()
    with pytest.raises(ResponseTruncated):
        await response.chunk()


async def test_headers_arrive_raw_in_order_and_repeated(serve: Serve, open_pool: OpenPool) -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nX-One: 1\r\nSet-Cookie: a=b\r\nEmpty:\r\nset-cookie: c=d; e\r\n"
        b"X-Latin:  caf\xe9 \t\r\nContent-Length: 2\r\n\r\nhi"
    )
    response = await get(open_pool(await serve(answering(raw))))
    assert response.headers == [
        (b"x-one", b"1"),
        (b"set-cookie", b"a=b"),
        (b"empty", b""),
        (b"set-cookie", b"c=d; e"),
        (b"x-latin", b"caf\xe9"),
        (b"content-length", b"2"),
    ]
    assert (response.content_length, response.chunked) == (2, False)


async def test_trailers_do_not_become_headers(serve: Serve, open_pool: OpenPool) -> None:
    raw = CHUNKED + b"2\r\nhi\r\n0\r\nX-Trailer: t\r\n\r\n"
    response = await get(open_pool(await serve(answering(raw))))
    await read(response)
    assert response.headers == [(b"transfer-encoding", b"chunked")]
    assert (response.content_length, response.chunked) == (None, True)


async def test_a_small_answer_is_complete_when_send_returns(serve: Serve, open_pool: OpenPool) -> None:
    response = await get(open_pool(await serve(answering(OK))))
    assert response.complete
    assert response.buffered() == b"hi"
    assert response.buffered() == b""


async def test_head_answers_do_not_confuse_the_next_response(serve: Serve, open_pool: OpenPool) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    chunked = CHUNKED
    gateway = await serve(answering(head, OK, chunked, chunked + b"1\r\na\r\n0\r\n\r\n", OK))
    pool = open_pool(gateway)
    bodies = [await read(await get(pool, method=m)) for m in (b"HEAD", b"GET", b"HEAD", b"GET", b"GET")]
    assert bodies == [b"", b"hi", b"", b"a", b"hi"]
    assert gateway.accepted == 1
