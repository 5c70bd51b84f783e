"""BYOC jobs and streams (CONTRACT.md section 1.7)."""

import base64
import hashlib
import json
from typing import Any

import httpx
import pytest

from proxy.mock_gateway import MockGateway
from tests.mock_gateway.conftest import connect

SDP = {"content-type": "application/sdp"}
FIRST, SECOND = "https://orchestrator-1.invalid:8935", "https://orchestrator-2.invalid:8935"


def job(parameters: dict[str, Any] | None = None, **fields: Any) -> dict[str, str]:
    """The `Livepeer` header of a job; a field of None is left out."""
    base = {"request": "{}", "parameters": json.dumps(parameters or {}), "capability": "c", "timeout_seconds": 30}
    return encoded({name: value for name, value in (base | fields).items() if value is not None})


def encoded(fields: dict[str, Any]) -> dict[str, str]:
    """A `Livepeer` header of just these fields."""
    return {"livepeer": base64.b64encode(json.dumps(fields).encode()).decode()}


async def test_a_job(client: httpx.AsyncClient) -> None:
    response = await client.post("/process/request/deep/path?q=1", json={"x": 1}, headers=job())
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"  # sniffed, though the body is JSON
    assert response.headers["x-orchestrator-url"] == FIRST
    assert response.headers["livepeer-balance"] == "1000000"
    assert response.headers["x-metadata"] == '{"worker":"mock"}'
    sha256 = hashlib.sha256(b'{"x":1}').hexdigest()
    assert response.json() == {"capability": "c", "path": "/deep/path", "bytes": 7, "sha256": sha256}


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "Unable to parse job request"),
        ({"livepeer": "***"}, "Unable to parse job request"),
        ({"livepeer": base64.b64encode(b"[1]").decode()}, "Unable to parse job request"),
        (job(timeout_seconds=None), "Unable to parse job request"),
        (job(timeout_seconds=0), "Unable to parse job request"),
        (job(request=None), "Unable to unmarshal job request"),
        (job(request="{"), "Unable to unmarshal job request"),
        (encoded({"request": "{}", "timeout_seconds": 1}), "Unable to unmarshal job parameters"),
        (encoded({"request": "{}", "timeout_seconds": 1, "parameters": {}}), "Unable to parse job request"),
        (job(timeout_seconds="30"), "Unable to parse job request"),
        (job({"orchestrators": "all"}), "Unable to unmarshal job parameters"),
        (job({"orchestrators": {"include": FIRST}}), "Unable to unmarshal job parameters"),
        (job(capability="mock/no-orchestrators"), "No orchestrators found for capability mock/"),
        (job({"orchestrators": {"include": ["https://mine.example"]}}), "No orchestrators found for capability c"),
        (job({"orchestrators": {"exclude": [FIRST, SECOND]}}), "No orchestrators found for capability c"),
    ],
)
async def test_refused_jobs_are_400_text(client: httpx.AsyncClient, headers: dict[str, str], text: str) -> None:
    response = await client.post("/process/request/x", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert response.text.startswith(text)


async def test_orchestrators_can_be_narrowed(client: httpx.AsyncClient) -> None:
    for wish in ({"include": [SECOND]}, {"exclude": [FIRST]}):
        response = await client.post("/process/request/x", headers=job({"orchestrators": wish}))
        assert response.headers["x-orchestrator-url"] == SECOND


async def test_other_methods_are_405(client: httpx.AsyncClient) -> None:
    assert (await client.get("/process/request/x", headers=job())).status_code == 405


async def test_worker_errors_and_total_failure(client: httpx.AsyncClient) -> None:
    refused = await client.post("/process/request/x", headers=job(capability="mock/status=422"))
    assert (refused.status_code, refused.headers["content-type"]) == (422, "text/plain; charset=utf-8")
    failed = await client.post("/process/request/x", headers=job(capability="mock/empty"))
    assert (failed.status_code, failed.content) == (200, b"")


async def test_stream_ends_at_done_with_a_balance_before_it(client: httpx.AsyncClient) -> None:
    response = await client.post("/process/request/x", headers=job(capability="mock/sse,tokens=2"))
    assert response.headers["content-type"] == "text/event-stream"
    assert response.text == (
        'data: {"token":"t0"}\n\ndata: {"token":"t1"}\n\ndata: {"balance": 1000000}\n\ndata: [DONE]\n'
    )


async def test_stream_out_of_funds(client: httpx.AsyncClient) -> None:
    response = await client.post("/process/request/x", headers=job(capability="mock/no-funds"))
    assert "event: insufficient balance\n" in response.text


@pytest.mark.slow
async def test_a_stream_without_done_is_a_flood_of_newlines(
    mock_gateway: MockGateway, client: httpx.AsyncClient
) -> None:
    headers = job(capability="mock/flood,tokens=1")
    body = b""
    async with client.stream("POST", "/process/request/x", headers=headers) as response:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > 10_000:
                break
    assert body.startswith(b'data: {"token":"t0"}\n\n')
    assert body.strip(b"\n") == b'data: {"token":"t0"}'
    await mock_gateway.wait_for(finished=1)
    assert mock_gateway.requests[0].outcome == "aborted"


async def start(client: httpx.AsyncClient, parameters: dict[str, Any], **body: str) -> httpx.Response:
    return await client.post("/process/stream/start", json=body, headers=job(parameters))


async def test_stream_urls_are_absolute_on_the_gateways_host(stored: MockGateway) -> None:
    everything = {"enable_video_ingress": True, "enable_video_egress": True, "enable_data_output": True}
    async with connect(stored) as client:
        urls = (await start(client, everything, stream_name="cam", stream_id="1", rtmp_output="rtmp://o")).json()
    base = "https://gateway.example/process/stream/cam-1"
    assert urls["stream_id"] == "cam-1"
    assert [urls[f"{name}_url"] for name in ("whip", "update", "status", "data", "stop")] == [
        f"{base}/{name}" for name in ("whip", "update", "status", "data", "stop")
    ]
    assert urls["rtmp_url"] == "rtmp://localhost:1935/cam-1"
    assert urls["rtmp_output_url"].split(",")[:2] == ["rtmp://o", "rtmp://localhost:1935/cam-1-out"]
    assert urls["whep_url"].startswith("http://localhost:8889/cam-1-")


async def test_stream_urls_without_a_gateway_host_or_media(client: httpx.AsyncClient) -> None:
    urls = (await start(client, {})).json()
    assert urls["stop_url"] == f"https:///process/stream/{urls['stream_id']}/stop"
    assert {urls[f"{name}_url"] for name in ("whip", "whep", "rtmp", "rtmp_output", "data")} == {""}


async def test_life_of_a_stream(client: httpx.AsyncClient) -> None:
    media = {"enable_data_output": True, "enable_video_ingress": True}
    await start(client, media, stream_id="1")
    assert (await start(client, media, stream_id="1")).status_code == 400
    stream = "/process/stream/1"
    assert (await client.get(f"{stream}/status")).json()["pipeline"] == "c"
    assert (await client.post(f"{stream}/update", json={}, headers=job())).status_code == 200
    assert (await client.post(f"{stream}/update", json={})).status_code == 400
    ingest = await client.post(f"{stream}/whip", content=b"v=0", headers=SDP)
    assert (ingest.status_code, "location" in ingest.headers) == (201, True)
    form = {"source_id": "1", "source_type": "rtmpconn"}
    assert (await client.post(f"{stream}/rtmp", data=form)).status_code == 200
    assert (await client.post(f"{stream}/rtmp", data={"source_id": "1"})).status_code == 400
    data = await client.get(f"{stream}/data", headers={"x-mock-gateway": "tokens=1"})
    assert data.text == 'data: {"event":0}\n\n' + r'event: end\ndata: {"type":"stream_ended"}\n\n'
    assert (await client.post(f"{stream}/stop")).status_code == 200
    assert (await client.get(f"{stream}/status")).status_code == 404


@pytest.mark.parametrize("action", ["stop", "update", "status", "data", "whip", "rtmp"])
async def test_unknown_stream_is_404(client: httpx.AsyncClient, action: str) -> None:
    method = "GET" if action in {"status", "data"} else "POST"
    response = await client.request(method, f"/process/stream/none/{action}", headers=job())
    assert response.status_code == 404
    json_error = action in {"whip", "rtmp"}
    assert response.headers["content-type"].startswith("application/json" if json_error else "text/plain")


async def test_stream_refusals(client: httpx.AsyncClient) -> None:
    assert (await client.post("/process/stream/start", json={})).status_code == 400
    assert (await client.post("/process/stream/start", content=b"x", headers=job())).status_code == 400
    too_much = await client.post("/process/stream/start", content=bytes(10 * 2**20 + 1), headers=job())
    assert too_much.status_code == 413
    await start(client, {}, stream_id="quiet")
    assert (await client.get("/process/stream/quiet/data")).status_code == 503
    assert (await client.options("/process/stream/quiet/data")).status_code == 204
    assert (await client.put("/process/stream/quiet/data")).status_code == 405
