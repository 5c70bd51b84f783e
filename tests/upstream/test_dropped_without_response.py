"""A gateway whose handler panics closes the connection without a byte (gateway contract section 1.0)."""

import socket
import struct

import pytest

from proxy.upstream import ConnectionDropped
from tests.upstream.corpus import OK
from tests.upstream.fakes import HOST, PATIENT, OpenPool, Reader, Serve, Writer, get, parts, read_body, read_head, until


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("body", [None, b"abc", "source"])
async def test_a_drop_is_told_from_every_answer(
    serve: Serve, open_pool: OpenPool, reset: bool, body: bytes | str | None
) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_body(reader, await read_head(reader))
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    gateway = await serve(handler)
    pool = open_pool(gateway)
    source = parts(b"abc") if isinstance(body, str) else body
    with pytest.raises(ConnectionDropped, match="without a response") as drop:
        await pool.send(b"POST", b"/llm", HOST, source, timeouts=PATIENT)
    assert (drop.value.request_sent, drop.value.reused) == (True, False)
    assert drop.value.origin == f"127.0.0.1:{gateway.port}"
    await until(lambda: pool.open == 0)


async def test_a_drop_before_the_body_was_read_is_the_same_drop(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)

    pool = open_pool(await serve(handler))
    for _ in range(20):
        with pytest.raises(ConnectionDropped):
            await pool.send(b"POST", b"/", HOST, parts(*[bytes(65536)] * 100), timeouts=PATIENT)


async def test_nothing_dropped_is_sent_again(serve: Serve, open_pool: OpenPool) -> None:
    heads = []

    async def handler(reader: Reader, writer: Writer) -> None:
        heads.append(await read_head(reader))
        writer.write(OK)
        heads.append(await read_head(reader))

    gateway = await serve(handler)
    pool = open_pool(gateway)
    assert (await get(pool)).complete
    with pytest.raises(ConnectionDropped) as drop:
        await get(pool)
    assert drop.value.reused
    await until(lambda: gateway.connected == 0)
    assert (len(heads), gateway.accepted) == (2, 1)


async def test_a_panic_costs_one_connection_and_not_the_next_request(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        while b"POST" not in await read_head(reader):
            writer.write(OK)

    pool = open_pool(await serve(handler), max_connections=1)
    for _ in range(3):
        assert (await get(pool)).complete
        with pytest.raises(ConnectionDropped):
            await get(pool, method=b"POST")
    await until(lambda: pool.open == 0)
