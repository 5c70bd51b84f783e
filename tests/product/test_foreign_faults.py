"""Faults of one tenant's requests take nothing from another: a gateway that drops them lives, and is not left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.gateways import SEGMENT, TwoTierDeployment, deployed_two_tiers, made_image

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def two_tiers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TwoTierDeployment]:
    """Run two tiers where one failure ejects a gateway for good."""
    health = {"failures": 1, "ejection_seconds": 3_600}
    async with deployed_two_tiers(tmp_path_factory.mktemp("faults"), health=health) as found:
        yield found


async def test_unknown_models_of_one_tenant_fail_no_playlist_or_result_of_another(two_tiers: TwoTierDeployment) -> None:
    victim, culprit = await two_tiers.deployment.customer(), await two_tiers.deployment.customer()
    async with two_tiers.client(victim) as theirs, two_tiers.client(culprit) as faulty:
        assert (await theirs.put("/live/show/0.ts", content=SEGMENT)).status_code == 200
        images = [await made_image(theirs) for _ in range(4)]
        paths = ["/stream/show/source.m3u8", *images]

        async def fail() -> httpx.Response:
            return await faulty.post("/text-to-image", json={"model_id": "mock/no-orchestrators", "prompt": "p"})

        faults = asyncio.gather(*(fail() for _ in range(100)))
        statuses = []
        while not faults.done():
            statuses += [response.status_code for response in await asyncio.gather(*map(theirs.get, paths))]
        statuses += [(await theirs.get(path)).status_code for _ in range(10) for path in paths]
        dropped = {(response.status_code, response.json()["code"]) for response in await faults}
        assert dropped == {(502, "gateway_dropped")}
        assert set(statuses) == {200}
        assert len(statuses) > 50
        assert {(await theirs.put(f"/live/show/{number}.ts", content=SEGMENT)).status_code for number in (1, 2)} == {
            200
        }
        playlist = (await theirs.get("/stream/show/source.m3u8")).text
        assert [number for number in (0, 1, 2) if f"/{number}.ts" not in playlist] == [], "it has not moved"
    assert not any(line.get("event") == "gateway_ejected" for line in two_tiers.deployment.lines())
