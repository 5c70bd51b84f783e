"""How a BYOC stream ends (CONTRACT.md section 1.7)."""

from typing import Any

import httpx
import pytest

from proxy.mock_gateway import MockGateway, Options
from tests.mock_gateway.conftest import connect
from tests.mock_gateway.routes.test_byoc import SDP, job
from tests.store.servers import eventually

MEDIA: dict[str, Any] = {"enable_video_ingress": True, "enable_data_output": True}
STREAM = "/process/stream/1"
AT_ONCE = Options(byoc_event_timeout=0.05, byoc_status_linger=0.05)


async def start(client: httpx.AsyncClient, capability: str = "c", stream_id: str = "1") -> None:
    """Start a stream."""
    headers = job(MEDIA, capability=capability)
    response = await client.post("/process/stream/start", json={"stream_id": stream_id}, headers=headers)
    assert response.status_code == 200


async def statuses(client: httpx.AsyncClient) -> list[int]:
    """What status, update, data and stop respond with."""
    return [
        (await client.get(f"{STREAM}/status")).status_code,
        (await client.post(f"{STREAM}/update", json={}, headers=job())).status_code,
        (await client.get(f"{STREAM}/data")).status_code,
        (await client.post(f"{STREAM}/stop")).status_code,
    ]


async def until_gone(client: httpx.AsyncClient, stream: str = STREAM) -> None:
    """Poll a stream's status until it is 404."""
    for _ in range(10_000):
        if (await client.get(f"{stream}/status")).status_code == 404:
            return
    raise AssertionError("never gone")


async def test_a_silent_worker_ends_its_stream() -> None:
    async with MockGateway(AT_ONCE) as gateway, connect(gateway) as client:
        await start(client, "mock/silent")
        await until_gone(client)
        assert await statuses(client) == [404] * 4
        await start(client)


async def test_a_worker_that_is_heard_of_does_not() -> None:
    async with MockGateway(AT_ONCE) as gateway, connect(gateway) as client:
        await start(client)
        await start(client, "mock/silent", "2")
        await until_gone(client, "/process/stream/2")
        assert await statuses(client) == [200] * 4


@pytest.mark.parametrize("by_control", [False, True])
async def test_a_whip_client_that_closes_ends_the_stream(by_control: bool) -> None:
    async with MockGateway(Options(byoc_status_linger=0.05)) as gateway, connect(gateway) as client:
        await start(client)
        await client.post(f"{STREAM}/whip", content=b"v=0", headers=SDP)
        if by_control:
            assert (await client.post("/__mock/end?stream=1")).status_code == 200
        else:
            gateway.end_byoc("1")
        await until_gone(client)
        assert await statuses(client) == [404] * 4
        gateway.end_byoc("unknown")


async def test_only_its_status_is_found_for_a_while_after_its_end() -> None:
    async with MockGateway(Options(byoc_event_timeout=0)) as gateway, connect(gateway) as client:
        await start(client, "mock/silent")
        gateway.end_byoc("1")
        assert sorted(await statuses(client)) == [200, 404, 404, 404]
        assert (await client.get(f"{STREAM}/status")).status_code == 200


async def test_a_stream_lives_on_without_its_status() -> None:
    async with MockGateway() as gateway, connect(gateway) as client:
        await start(client)
        gateway.forget_byoc_status("1")
        assert (await client.get(f"{STREAM}/status")).status_code == 404
        assert (await client.get(f"{STREAM}/data")).status_code != 404
        assert (await client.post(f"{STREAM}/update")).status_code == 400


async def test_it_ends_with_the_process() -> None:
    async with MockGateway(crash=True) as gateway, connect(gateway) as client:
        await start(client)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/healthz", headers={"x-mock-gateway": "crash"})
        await eventually(gateway.crashed.is_set)
        await gateway.start(port=gateway.port)
        assert await statuses(client) == [404] * 4


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
async def test_the_whip_location_takes_no_other_method(client: httpx.AsyncClient, method: str) -> None:
    await start(client)
    whip = await client.post(f"{STREAM}/whip", content=b"v=0", headers=SDP)
    location = httpx.URL(whip.headers["location"]).path
    assert location.startswith(f"{STREAM}/whip/")
    assert (await client.request(method, location)).status_code == 405
