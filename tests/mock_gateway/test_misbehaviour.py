"""Every misbehaviour that a request can ask for, as seen on the socket."""

import base64

import httpx
import pytest

from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.media import pattern_slice
from tests.mock_gateway.wiretap import Peer, exchange, request

ANY_ROUTE = ["/llm", "/text-to-image", "/live/m/0.ts", "/live/video-to-video/s/whip", "/process/request/x", "/nothing"]


def raw(data: bytes, more: str = "") -> str:
    return "raw=" + base64.urlsafe_b64encode(data).decode().rstrip("=") + more


@pytest.mark.parametrize("target", ANY_ROUTE)
async def test_drop_sends_nothing(mock_gateway: MockGateway, target: str) -> None:
    assert await exchange(mock_gateway.port, request(target, "X-Mock-Gateway: drop", body=b"all of it")) == b""
    await mock_gateway.wait_for(finished=1)
    seen = mock_gateway.requests[0]
    assert (seen.outcome, seen.status, seen.chunks_sent, seen.disconnected_at) == ("dropped", None, 0, None)
    assert (seen.body_length, seen.body_complete) == (9, True)


async def test_early_drop_does_not_read_the_body(mock_gateway: MockGateway) -> None:
    head = request("/llm", "X-Mock-Gateway: early,drop", "Expect: 100-continue").replace(b"Length: 0", b"Length: 9")
    assert await exchange(mock_gateway.port, head) == b""
    await mock_gateway.wait_for(finished=1)
    assert not mock_gateway.requests[0].body_complete


async def test_reset(mock_gateway: MockGateway) -> None:
    with pytest.raises(ConnectionResetError):
        await exchange(mock_gateway.port, request("/llm", "X-Mock-Gateway: reset"))


@pytest.mark.parametrize("target", ANY_ROUTE)
async def test_empty_success(client: httpx.AsyncClient, target: str) -> None:
    response = await client.post(target, headers={"x-mock-gateway": "empty"})
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("target", ANY_ROUTE)
@pytest.mark.parametrize("status", [204, 304, 400, 402, 418, 429, 500, 503, 599])
async def test_status(client: httpx.AsyncClient, target: str, status: int) -> None:
    response = await client.post(target, headers={"x-mock-gateway": f"status={status}"})
    assert response.status_code == status


async def test_early_status_comes_before_the_body(mock_gateway: MockGateway) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/llm", "X-Mock-Gateway: early,status=503").replace(b"Length: 0", b"Length: 10"))
    assert b" 503 " in await peer.until(b'Error"}}\n')
    await peer.send(b"0123456789" + request("/healthz", "X-Mock-Gateway: close", method="GET"))
    assert b" 200 OK" in await peer.rest()
    await peer.close()
    assert [seen.body_complete for seen in mock_gateway.requests] == [False, True]


@pytest.mark.parametrize("framing", ["", ",chunked"])
@pytest.mark.parametrize("limit", [0, 1, 65_536, 99_999, 100_000])
async def test_drop_after_bytes(mock_gateway: MockGateway, limit: int, framing: str) -> None:
    behaviour = f"X-Mock-Gateway: bytes=100000,drop-after-bytes={limit}{framing}"
    head, _, body = (await exchange(mock_gateway.port, request("/x", behaviour))).partition(b"\r\n\r\n")
    assert b" 200 OK" in head
    if framing:
        pieces = body.split(b"\r\n")[1::2]
        assert b"".join(pieces) != b""[:limit] or limit == 0
        assert not body.endswith(b"0\r\n\r\n")
    else:
        assert b"content-length: 100000" in head
        assert body == pattern_slice(0, limit)
    await mock_gateway.wait_for(finished=1)
    assert (mock_gateway.requests[0].outcome, mock_gateway.requests[0].bytes_sent) == ("dropped", limit)


async def test_raw_bytes_are_sent_as_they_are(mock_gateway: MockGateway) -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"
    assert await exchange(mock_gateway.port, request("/llm", f"X-Mock-Gateway: {raw(response)}")) == response


async def test_a_slow_head(mock_gateway: MockGateway) -> None:
    response = b"HTTP/1.1 204 No Content\r\n\r\n"
    behaviour = raw(response, f",chunks={len(response)},hold=byte,hold-at=9")
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/llm", f"X-Mock-Gateway: {behaviour}"))
    await mock_gateway.wait_for(held=1)
    assert await peer.until(b"1.1 ") == response[:9]
    mock_gateway.release("byte")
    assert await peer.rest() == response[9:]
    await peer.close()


async def test_stall_never_responds(mock_gateway: MockGateway) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/llm", "X-Mock-Gateway: stall"))
    await mock_gateway.wait_for(held=1)
    await peer.close()
    await mock_gateway.wait_for(finished=1)
    assert (mock_gateway.requests[0].outcome, mock_gateway.requests[0].disconnected_at) == ("aborted", 0)
    assert mock_gateway.counters["held"] == 0


@pytest.mark.parametrize("at", [0, 1, 3])
async def test_stall_in_the_response(mock_gateway: MockGateway, at: int) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/x", f"X-Mock-Gateway: bytes=3,chunks=3,stall,hold-at={at}"))
    await mock_gateway.wait_for(held=1)
    got = await peer.until(b"\r\n\r\n" + pattern_slice(0, at))
    assert b" 200 OK" in got
    await peer.close()
    await mock_gateway.wait_for(finished=1)
    assert mock_gateway.requests[0].disconnected_at == at


@pytest.mark.parametrize(("behaviour", "sent"), [("delay=3600", 0), ("bytes=3,chunks=3,chunk-delay=3600", 1)])
async def test_delays(mock_gateway: MockGateway, behaviour: str, sent: int) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/x", f"X-Mock-Gateway: {behaviour}"))
    await (peer.until(b"\r\n\r\n" + pattern_slice(0, 1)) if sent else mock_gateway.wait_for(seen=1))
    await peer.close()
    await mock_gateway.wait_for(finished=1)
    assert (mock_gateway.requests[0].outcome, mock_gateway.requests[0].disconnected_at) == ("aborted", sent)


async def test_delays_end(client: httpx.AsyncClient) -> None:
    response = await client.get("/x", headers={"x-mock-gateway": "delay=0.01,bytes=3,chunks=3,chunk-delay=0.01"})
    assert response.content == pattern_slice(0, 3)


async def test_close_is_announced_and_hangup_is_not(mock_gateway: MockGateway) -> None:
    announced = await exchange(mock_gateway.port, request("/healthz", "X-Mock-Gateway: close"))
    assert b"connection: close\r\n" in announced
    unannounced = await exchange(mock_gateway.port, request("/healthz", "X-Mock-Gateway: hangup"))
    assert unannounced.startswith(b"HTTP/1.1 200 OK")
    assert b"connection" not in unannounced
    assert [seen.outcome for seen in mock_gateway.requests] == ["complete", "complete"]


async def test_added_headers(client: httpx.AsyncClient) -> None:
    lines = ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-Orchestrator-Url:https://o:1"]
    response = await client.get("/healthz", headers=[("x-mock-gateway-header", line) for line in lines])
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers["x-orchestrator-url"] == "https://o:1"


async def test_a_mistaken_instruction_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz", headers={"x-mock-gateway": "dorp"})
    assert (response.status_code, response.text) == (400, "X-Mock-Gateway: cannot read 'dorp'\n")
    response = await client.post("/text-to-image", json={"model_id": "mock/dorp"})
    assert response.json()["error"]["message"] == "X-Mock-Gateway: cannot read 'dorp'"


async def test_a_crash_takes_every_connection_and_the_listener() -> None:
    async with MockGateway(crash=True) as mock_gateway:
        bystander = await Peer.connect(mock_gateway.port)
        await bystander.send(request("/llm", "X-Mock-Gateway: stall"))
        idle = await Peer.connect(mock_gateway.port)
        await mock_gateway.wait_for(held=1)
        assert await exchange(mock_gateway.port, request("/llm", "X-Mock-Gateway: crash")) == b""
        assert await bystander.rest() == await idle.rest() == b""
        await mock_gateway.crashed.wait()
        with pytest.raises(ConnectionRefusedError):
            await Peer.connect(mock_gateway.port)
        await mock_gateway.wait_for(crashes=1, finished=2)
        assert [seen.outcome for seen in mock_gateway.requests] == ["aborted", "dropped"]
        await mock_gateway.start(port=mock_gateway.port)
        assert not mock_gateway.crashed.is_set()
        assert b" 200 " in await exchange(mock_gateway.port, request("/healthz", "X-Mock-Gateway: close"))
        await bystander.close()
        await idle.close()


async def test_pipelined_requests_have_responses_in_order(mock_gateway: MockGateway) -> None:
    first = request("/x", "X-Mock-Gateway: bytes=3,hold=first")
    second = request("/x", "X-Mock-Gateway: bytes=2,close")
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(first + second)
    await mock_gateway.wait_for(held=1)
    mock_gateway.release("first")
    got = await peer.rest()
    assert got.index(b"content-length: 3") < got.index(b"content-length: 2")
    await peer.close()


async def test_losing_a_connection_with_queued_requests_ends_the_running_one(mock_gateway: MockGateway) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/x", "X-Mock-Gateway: stall") + request("/x"))
    await mock_gateway.wait_for(held=1)
    await peer.close()
    await mock_gateway.wait_for(finished=1)
    assert [seen.outcome for seen in mock_gateway.requests] == ["aborted"]
