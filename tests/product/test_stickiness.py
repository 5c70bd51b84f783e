"""Resources in one gateway's memory are found there again: by every worker, after a restart, and after failures."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from middlewares.tenancy.names import at_gateway
from tests.store.servers import DURABLE, RedisServer, binaries
from tests.support.deployment import Customer, eventually
from tests.support.gateways import (
    OFFER,
    SDP,
    SEGMENT,
    TwoTierDeployment,
    deployed_two_tiers,
    job,
    made_image,
    made_stream,
    made_video,
)

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


@dataclass
class StickinessTestbed:
    """Deployment with two tiers, and its Redis."""

    redis: RedisServer
    two_tiers: TwoTierDeployment


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def testbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StickinessTestbed]:
    folder = tmp_path_factory.mktemp("sticky")
    redis = RedisServer(binaries(folder)[0], folder / "redis", *DURABLE, tcp=True).start()
    try:
        config = {"redis_url": redis.url, "store": {"deadline_seconds": 0.25}}
        async with deployed_two_tiers(folder, config) as found:
            yield StickinessTestbed(redis, found)
    finally:
        redis.kill()


def gateways_of(two_tiers: TwoTierDeployment, app: str, *parts: str) -> set[str]:
    """Return the gateways that received an app's requests whose target has one of `parts`."""
    return {url for url, record in two_tiers.forwarded(app) if any(part in record.target for part in parts)}


async def push(client: httpx.AsyncClient, manifest: str, number: int) -> int:
    return (await client.put(f"/live/{manifest}/{number}.ts", content=SEGMENT)).status_code


async def test_each_manifest_keeps_to_one_gateway(testbed: StickinessTestbed) -> None:
    customer = await testbed.two_tiers.deployment.customer()
    names = [f"show{number}" for number in range(4)]
    async with testbed.two_tiers.client(customer) as client:
        for number in range(6):
            for name in names:
                assert await push(client, name, number) == 200
        for name in names:
            for _ in range(4):
                assert (await client.get(f"/stream/{name}/source.m3u8")).status_code == 200
            assert len(gateways_of(testbed.two_tiers, customer.app, f"_{name}")) == 1, name
    assert len(gateways_of(testbed.two_tiers, customer.app, "/live/")) == 2, "new ones are spread as ever"


async def test_workers_agree_on_a_manifest_that_begins_at_both(testbed: StickinessTestbed) -> None:
    customer = await testbed.two_tiers.deployment.customer()
    async with testbed.two_tiers.client(customer) as client:
        for name in ("a", "b", "c"):
            pushes = [push(client, name, number) for number in range(12)]
            assert set(await asyncio.gather(*pushes)) == {200}
            assert len(gateways_of(testbed.two_tiers, customer.app, f"_{name}/")) == 1, name


async def test_streams_and_results_return_to_their_gateway(testbed: StickinessTestbed) -> None:
    customer = await testbed.two_tiers.deployment.customer()
    async with testbed.two_tiers.client(customer) as client:
        for number in range(4):
            whip = await client.post(f"/live/video-to-video/cam{number}/whip", content=OFFER, headers=SDP)
            assert whip.status_code == 201
            await use(client, f"/live/video-to-video/cam{number}")
            await use(client, f"/process/stream/{(await made_stream(client, stream_name=f'job{number}'))['stream_id']}")
            image = await made_image(client)
            assert [(await client.get(image)).status_code for _ in range(4)] == [200] * 4
            assert len(gateways_of(testbed.two_tiers, customer.app, image)) == 1
            await finished(client, await made_video(client))
    for number in range(4):
        assert len(gateways_of(testbed.two_tiers, customer.app, f"_cam{number}/")) == 1
        assert len(gateways_of(testbed.two_tiers, customer.app, f"_job{number}-")) == 1


async def use(client: httpx.AsyncClient, stream: str) -> None:
    for _ in range(4):
        assert (await client.get(f"{stream}/status")).status_code == 200
        assert (await client.post(f"{stream}/update", json={}, headers=job())).status_code == 200


async def finished(client: httpx.AsyncClient, request_id: str) -> None:
    """Wait for a video; a gateway that did not make it would respond 400."""

    async def done() -> bool:
        response = await client.post("/image-to-video/result", json={"request_id": request_id})
        assert response.status_code in (200, 202), response.text
        return response.status_code == 200

    await eventually(done)


@pytest.mark.slow
async def test_everything_is_found_again_after_a_restart(testbed: StickinessTestbed) -> None:
    customer = await testbed.two_tiers.deployment.customer()
    async with testbed.two_tiers.client(customer) as client:
        images = [await made_image(client) for _ in range(4)]
        streams = [(await made_stream(client))["stream_id"] for _ in range(4)]
        video = await made_video(client)
        assert {await push(client, f"m{number}", 0) for number in range(4)} == {200}
    await testbed.two_tiers.deployment.stop()
    await testbed.two_tiers.deployment.start()
    async with testbed.two_tiers.client(customer) as client:
        assert [(await client.get(image)).status_code for image in images] == [200] * 4
        assert [(await client.get(f"/process/stream/{stream}/status")).status_code for stream in streams] == [200] * 4
        await finished(client, video)
        assert {await push(client, f"m{number}", 1) for number in range(4)} == {200}
        for number in range(4):
            assert len(gateways_of(testbed.two_tiers, customer.app, f"_m{number}/")) == 1


async def test_a_result_that_cannot_be_located_is_not_said_to_be_missing(testbed: StickinessTestbed) -> None:
    """While Redis is lost, only workers that know where a result is serve it; pushes of a manifest stay together."""
    customer = await testbed.two_tiers.deployment.customer()
    async with testbed.two_tiers.client(customer) as client:
        images = [await made_image(client) for _ in range(8)]
        testbed.redis.kill()
        try:
            responses = [await client.get(image) for image in images]
            assert {response.status_code for response in responses} <= {200, 503}
            refused = [response for response in responses if response.status_code == 503]
            assert all(response.headers["retry-after"] for response in refused)
            unknown = await client.get("/stream/0a1b2c3d/a.png")
            assert (unknown.status_code, unknown.json()["code"]) == (503, "store_unavailable")
            statuses = {await push(client, "meanwhile", number) for number in range(8)}
        finally:
            testbed.redis.start()

        async def found() -> bool:
            return {(await client.get(image)).status_code for image in images} == {200}

        await eventually(found)
    assert statuses <= {200, 503}
    assert len(gateways_of(testbed.two_tiers, customer.app, "_meanwhile/")) <= 1


@pytest_asyncio.fixture(loop_scope="package")
async def fragile(tmp_path: Path) -> AsyncIterator[TwoTierDeployment]:
    """Run two tiers where one failure ejects a gateway for good."""
    async with deployed_two_tiers(tmp_path, health={"failures": 1, "ejection_seconds": 3_600}) as found:
        yield found


@pytest.mark.slow
async def test_when_a_gateway_is_gone_manifests_move_and_results_wait(fragile: TwoTierDeployment) -> None:
    customer: Customer = await fragile.deployment.customer()
    names = [f"m{number}" for number in range(6)]
    async with fragile.client(customer) as client:
        assert {await push(client, name, 0) for name in names} == {200}
        lost = fragile.plain[0]
        theirs = [
            name for name in names if lost.url in gateways_of(fragile, customer.app, at_gateway(customer.app, name))
        ]
        assert 0 < len(theirs) < len(names)
        images: list[str] = []
        while lost.url not in gateways_of(fragile, customer.app, "/text-to-image"):
            images.append(await made_image(client))
        await lost.stop()

        for number in range(1, 7):
            assert {await push(client, name, number) for name in names} == {200}, "not one segment is lost"
        for name in names:
            response = await client.get(f"/stream/{name}/source.m3u8")
            while response.status_code == 502:  # from each worker that finds out only now
                response = await client.get(f"/stream/{name}/source.m3u8")
            assert [number for number in (5, 6) if f"/{number}.ts" not in response.text] == [], "all at one gateway"

        responses = [await client.get(images[-1]) for _ in range(12)]
        assert {(each.status_code, each.json()["code"]) for each in responses} == {(502, "gateway_unreachable")}
