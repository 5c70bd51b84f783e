"""The control surfaces of a whole deployment: no key needed, nothing left in Redis, no word to a gateway."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.deployment import Deployment, deployed, eventually

pytestmark = pytest.mark.ci


TARGETS = {"/api/v1/none": "control-api", "/.well-known/none": "well-known"}
TIMES = 5
BESIDE = (b"archiver", b"notifier", b"tollgate:history")
"""Ends of the keys that the archiver's process writes whether anybody asks or not."""


async def keys_in_redis(deployment: Deployment) -> dict[Any, Any]:
    """Every key that requests may write, with its serialised value."""
    async with deployment.store() as store:
        names: list[Any] = sorted(await store.redis.keys("*"))
        return {name: await store.redis.dump(name) for name in names if not name.endswith(BESIDE)}


async def counted(http: httpx.AsyncClient, deployment: Deployment, route: str) -> float:
    text = (await http.get(f"{deployment.private}/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "tollgate_requests_total"
        and sample.labels == {"route": route, "status": "404", "outcome": "refused"}
    )


async def test_a_stranger_gets_a_404_that_is_logged_and_counted_and_leaves_nothing_in_redis(tmp_path: Path) -> None:
    async with deployed(tmp_path, {"workers": 2}) as deployment:
        customer = await deployment.customer()
        before = await keys_in_redis(deployment)
        assert before
        ids = {}
        async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as http:
            for target, route in TARGETS.items():
                for headers in ({}, customer.headers, {"authorization": "Bearer wrong"}):
                    for _ in range(TIMES):
                        response = await http.get(target, headers=headers)
                        document = response.json()
                        assert (response.status_code, document["code"]) == (404, "not_found")
                        assert response.headers["content-type"] == "application/problem+json"
                        assert document["request_id"] == response.headers["x-request-id"]
                        ids[document["request_id"]] = route

            def logged() -> bool:
                return ids.keys() <= {line.get("request_id") for line in deployment.lines()}

            await eventually(logged)
            lines = [line for line in deployment.lines() if line.get("request_id") in ids]
            assert len(lines) == len(ids)
            for line in lines:
                assert (line["route"], line["status"], line["app"]) == (ids[line["request_id"]], 404, None)
            for route in TARGETS.values():

                async def all_counted(route: str = route) -> bool:
                    return await counted(http, deployment, route) == 3 * TIMES

                await eventually(all_counted)
            assert await keys_in_redis(deployment) == before
            assert deployment.gateway.requests == []

            alias = await http.post(
                "/api/v1/inference/text-to-image",
                json={"model_id": "m", "prompt": "p"},
                headers=customer.headers,
            )
            assert alias.status_code == 200
            unknown = await http.post("/api/v1/inference/text-to-image", json={})
            assert (unknown.status_code, unknown.json()["code"]) == (401, "missing_credentials")
            [event] = await deployment.settled(1, customer.app)
            assert event["workload"] == "text-to-image"
        assert customer.key not in json.dumps(deployment.lines())
