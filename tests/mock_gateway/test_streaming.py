"""Bodies pass byte for byte, as they come, and are never kept."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.media import BLOCK, pattern, pattern_slice
from tests.mock_gateway.conftest import connect, running
from tests.mock_gateway.wiretap import Peer, request

LARGE = 64 * 2**20
ROUTES = ["/llm", "/text-to-image", "/live/m/0.ts", "/process/request/a/b", "/stream/x", "/anything"]


async def upload(size: int, step: int = BLOCK) -> AsyncIterator[bytes]:
    for piece in pattern(size, step):
        yield piece


def test_pattern_is_the_same_in_any_pieces() -> None:
    whole = b"".join(pattern(3 * BLOCK + 5))
    assert len(whole) == 3 * BLOCK + 5
    assert whole == b"".join(pattern(len(whole), 1000)) == pattern_slice(0, len(whole))
    blocks = [pattern_slice(start, start + BLOCK) for start in range(0, 3 * BLOCK, BLOCK)]
    assert len(set(blocks)) == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    route=st.sampled_from(ROUTES),
    body=st.binary(max_size=5000),
    pieces=st.integers(0, 5),
    chunked=st.booleans(),
)
def test_echo_is_exact(method: str, route: str, body: bytes, pieces: int, chunked: bool) -> None:
    async def run() -> None:
        async def parts() -> AsyncIterator[bytes]:
            step = max(1, len(body) // pieces)
            for start in range(0, len(body), step):
                yield body[start : start + step]

        headers = {"x-mock-gateway": "echo,chunked" if chunked else "echo", "content-type": "x/y"}
        async with MockGateway() as mock_gateway, connect(mock_gateway) as client:
            content = parts() if pieces else body
            response = await client.request(method, route, content=content, headers=headers)
            assert (response.status_code, response.content) == (200, body)
            assert response.headers["content-type"] == "x/y"
            framed = "content-length" in response.headers
            assert framed == (not chunked and not pieces and (bool(body) or method in {"POST", "PUT", "PATCH"}))
            seen = mock_gateway.requests[0]
            assert (seen.body_length, seen.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())

    asyncio.run(run())


async def test_echo_sends_while_it_receives(mock_gateway: MockGateway) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/x", "X-Mock-Gateway: echo,status=201").replace(b"Length: 0", b"Length: 6"))
    assert b" 201 " in await peer.until(b"\r\n\r\n")
    await peer.send(b"abc")
    assert await peer.until(b"abc") == b"abc"
    await peer.send(b"def")
    assert await peer.until(b"def") == b"def"
    await peer.close()


async def test_a_declared_length_for_a_chunked_echo(client: httpx.AsyncClient) -> None:
    response = await client.put("/x", content=upload(1000), headers={"x-mock-gateway": "echo,length=1000"})
    assert (response.headers["content-length"], response.content) == ("1000", pattern_slice(0, 1000))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("behaviour", ["", ",chunked", ",chunks=7", ",chunks=9999,status=206"])
async def test_bytes(mock_gateway: MockGateway, client: httpx.AsyncClient, behaviour: str) -> None:
    response = await client.get("/any/where", headers={"x-mock-gateway": f"bytes=200000{behaviour}"})
    assert response.content == pattern_slice(0, 200_000)
    assert response.status_code == (206 if "206" in behaviour else 200)
    assert ("content-length" in response.headers) == ("chunked" not in behaviour)
    if "chunks=7" in behaviour:
        assert mock_gateway.requests[0].chunks_sent == 7


@pytest.mark.slow
async def test_64_mib_each_way_in_little_memory() -> None:
    expected = hashlib.sha256()
    for piece in pattern(LARGE):
        expected.update(piece)
    async with running() as (process, url):
        peer = await Peer.connect(int(url.rpartition(":")[2]))
        for target, behaviour in (("/process/request/x", "echo"), ("/live/m/0.ts", "tokens=0")):
            head = request(target, f"X-Mock-Gateway: {behaviour}").replace(b"Length: 0", b"Length: %d" % LARGE)
            sending = asyncio.create_task(send_all(peer, head))
            response = await peer.until(b"\r\n\r\n")
            if behaviour == "echo":
                assert await peer.digest(LARGE) == expected.digest()
            else:
                assert b" 422 " in response
            await sending
        await peer.close()
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            seen = (await client.get("/__mock/requests")).json()
        assert [record["body_sha256"] for record in seen] == [expected.hexdigest()] * 2
        assert high_water(process.pid) < LARGE + 16 * 2**20


async def send_all(peer: Peer, head: bytes) -> None:
    await peer.send(head)
    for piece in pattern(LARGE):
        await peer.send(piece)


def high_water(pid: int) -> int:
    """Most memory the process ever had, bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


async def test_an_unread_response_is_not_buffered(mock_gateway: MockGateway) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/x", f"X-Mock-Gateway: bytes={16 * LARGE}", method="GET"))
    await peer.until(b"\r\n\r\n")
    await mock_gateway.wait_for(seen=1)
    assert mock_gateway.requests[0].bytes_sent < LARGE
    await peer.close()
    await mock_gateway.wait_for(finished=1)
    assert mock_gateway.requests[0].outcome == "aborted"


async def test_a_held_request_does_not_read_its_body(mock_gateway: MockGateway) -> None:
    peer = await Peer.connect(mock_gateway.port)
    head = request("/x", "X-Mock-Gateway: echo,hold=gate").replace(b"Length: 0", b"Length: %d" % LARGE)
    await peer.send(head)
    sending = asyncio.ensure_future(peer.send(pattern_slice(0, LARGE)))
    await mock_gateway.wait_for(held=1)
    assert mock_gateway.requests[0].body_length == 0
    assert not sending.done()
    mock_gateway.release("gate")
    assert await peer.until(b"\r\n\r\n")
    await peer.close()
    with contextlib.suppress(ConnectionError):
        await sending
    await mock_gateway.wait_for(finished=1)
    assert mock_gateway.requests[0].outcome == "aborted"
