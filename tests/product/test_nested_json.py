"""Hazard: JSON that is nested as deep as a reader can follow, and deeper. A job's parameters of 980 lists were 500."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

DEPTHS = (101, 300, 600, *range(850, 1010, 10), 5_000, 100_000, 1_000_000)
"""Around the interpreter's limit of 1,000 each step of a reader may be the one that fails."""
BODIES = {
    "/llm": '{"model":"m","top_k":%s,"messages":[{"role":"user","content":"hi"}]}',
    "/v1/chat/completions": '{"model":"m","top_k":%s,"messages":[{"role":"user","content":"hi"}]}',
    "/text-to-image": '{"model_id":"m","width":%s,"prompt":"p"}',
    "/text-to-speech": '{"model_id":"m","text":%s}',
    "/image-to-video/result": '{"request_id":%s}',
}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("path", BODIES)
async def test_a_nested_body_is_refused(deployment: Deployment, client: httpx.AsyncClient, path: str) -> None:
    customer = await deployment.customer()
    for depth in DEPTHS:
        response = await client.post(path, content=BODIES[path] % nested(depth), headers=customer.headers)
        expected = (413, "body_too_large") if depth > 5_000 else (400, "malformed_json")
        assert (response.status_code, response.json()["code"]) == expected, depth


@pytest.mark.parametrize("repeated", ["", '"\\u0061":1,'], ids=["once", "parsed again"])
async def test_nesting_that_nobody_reads_is_refused(
    deployment: Deployment, client: httpx.AsyncClient, repeated: str
) -> None:
    """Unknown members pass to the gateway, are read a second time, or written anew."""
    customer = await deployment.customer()
    for path in ("/llm", "/v1/chat/completions", "/process/stream/start"):
        for depth in DEPTHS[:-2]:
            body = f'{{{repeated}"x":{nested(depth)},"model":"m","messages":[{{"role":"user","content":"hi"}}]}}'
            job = json.dumps({"capability": "c", "timeout_seconds": 1})
            headers = {**customer.headers, "livepeer": base64.b64encode(job.encode()).decode()}
            response = await client.post(path, content=body, headers=headers)
            assert (response.status_code, response.json()["code"]) == (400, "malformed_json"), (path, depth)


async def test_a_nested_job_header_is_refused(deployment: Deployment, client: httpx.AsyncClient) -> None:
    customer = await deployment.customer()
    for depth in DEPTHS[:-3]:
        job = json.dumps({"capability": "c", "timeout_seconds": 1, "parameters": f'{{"a":{nested(depth)}}}'})
        headers = {**customer.headers, "livepeer": base64.b64encode(job.encode()).decode()}
        response = await client.post("/process/request/run", content=b"{}", headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "malformed_job"), depth
