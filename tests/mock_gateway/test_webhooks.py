"""The webhooks that the mock gateway calls, as the gateway does (CONTRACT.md section 5)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.mock_gateway import MockGateway, Options
from proxy.mock_gateway.gateway import Hooks
from proxy.mock_gateway.media import ts
from tests.mock_gateway.conftest import connect, running
from tests.store.servers import eventually
from tests.support.served import served

LIVE = "/live/video-to-video"
SDP = {"content-type": "application/sdp"}
FORM = {"source_id": "1", "source_type": "rtmpConn", "query": "key=k&pipeline=mine&streamId=mine"}
SEGMENT = ts(10_000)


@dataclass
class Listener:
    """A product layer that notes every call and responds with `status` and `response`."""

    url: str = ""
    status: int = 200
    response: object = field(default_factory=dict)
    calls: list[tuple[str, Any, dict[str, str]]] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        self.calls.append((request.url.path, json.loads(await request.body()), dict(request.headers)))
        return Response(b"" if self.response is None else json.dumps(self.response), self.status)

    def hooks(self) -> Hooks:
        return Hooks(f"{self.url}/live", "secret", f"{self.url}/beat", {"x-a": "b"}, 0, f"{self.url}/push")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    async with served(Starlette(routes=[Route("/{path}", made.receive, methods=["POST"])])) as made.url:
        yield made


@pytest.fixture
async def calling(listener: Listener) -> AsyncIterator[MockGateway]:
    """A mock gateway that calls `listener`."""
    async with MockGateway(Options(gateway_host="g.example"), hooks=listener.hooks()) as gateway:
        yield gateway


async def test_whip_is_201_before_the_webhook(listener: Listener, calling: MockGateway) -> None:
    listener.response = {"stream_id": "theirs", "pipeline": "noop", "pipeline_parameters": {"a": 1}}
    async with connect(calling) as client:
        response = await client.post(f"{LIVE}/cam/whip?token=t&streamId=mine", content=b"v=0", headers=SDP)
        assert response.status_code == 201
        await eventually(lambda: calling.live == ["theirs"])
        status = (await client.get(f"{LIVE}/theirs/status")).json()
    assert status["pipeline"] == "noop"
    [(path, body, headers)] = listener.calls
    assert path == "/live"
    assert (headers["x-api-key"], headers["authorization"]) == ("secret", "secret")
    assert body["type"] == "livepeer-whip"
    assert body["stream"] == body["stream_key"] == "cam"
    assert body["query_params"] == "token=t&streamId=mine"
    live = "https://g.example/live/video-to-video"
    assert body["status_url"] == f"{live}/mine//status"
    assert body["update_url"] == f"{live}/cam//update"
    assert set(body) == {
        *("stream", "stream_key", "type", "query_params", "gateway_host", "whep_url", "status_url", "update_url")
    }


@pytest.mark.parametrize(("status", "response"), [(403, {}), (200, None), (500, None)])
async def test_a_stream_that_is_refused_is_closed_after_its_201(
    listener: Listener, calling: MockGateway, status: int, response: object
) -> None:
    listener.status, listener.response = status, response
    async with connect(calling) as client:
        assert (await client.post(f"{LIVE}/cam/whip", content=b"v=0", headers=SDP)).status_code == 201
        await eventually(lambda: calling.kicked == [""])
        assert (await client.post(f"{LIVE}/cam/update", content=b"{}")).status_code == 404
        assert (await client.post(f"{LIVE}/cam/start", data=FORM)).status_code == 403
    assert calling.live == []


async def test_media_mtx_waits_for_the_webhook_and_empty_values_leave_the_clients(
    listener: Listener, calling: MockGateway
) -> None:
    listener.response = {"stream_id": "", "pipeline": ""}
    async with connect(calling) as client:
        for kind, expected in (("rtmpConn", "rtmp"), ("webrtcSession", "whip")):
            form = FORM | {"source_type": kind}
            assert (await client.post(f"{LIVE}/cam/start", data=form)).status_code == 200
            assert listener.calls[-1][1]["type"] == expected
    assert calling.live == ["mine"]


async def test_a_heartbeat_names_running_streams_and_ends_those_in_its_response(
    listener: Listener, calling: MockGateway
) -> None:
    listener.response = None
    await calling.beat()
    assert listener.calls[-1][:2] == ("/beat", {"ids": None})
    assert listener.calls[-1][2]["x-a"] == "b"
    listener.response = {"stream_id": "one"}
    async with connect(calling) as client:
        await client.post(f"{LIVE}/cam/start", data=FORM)
        listener.response = {"terminatedStreamIds": ["one", "unknown"]}
        listener.status = 503
        await calling.beat()
        assert calling.live == ["one"], "only a success is listened to"
        listener.status = 200
        assert (await client.post("/__mock/heartbeat?times=2")).status_code == 200
        assert [call[1] for call in listener.calls[-2:]] == [{"ids": ["one"]}, {"ids": None}]
        assert (await client.get("/__mock/live")).json() == {"streams": [], "kicked": ["one"]}
        await client.post("/__mock/heartbeat?ids=a,b")
    assert listener.calls[-1][1] == {"ids": ["a", "b"]}


async def test_a_heartbeat_without_a_listener_harms_no_stream() -> None:
    async with MockGateway(hooks=Hooks(heartbeat_url="http://127.0.0.1:9/beat", heartbeat_interval=0)) as gateway:
        await gateway.beat()


async def test_a_push_calls_its_webhook_once(listener: Listener, calling: MockGateway) -> None:
    listener.response = {
        "manifestID": "theirs",
        "profiles": [{"name": "small", "width": 16, "height": 16, "bitrate": 1}],
    }
    async with connect(calling) as client:
        for number in range(2):
            response = await client.post(
                f"/live/mine/{number}.ts?q=1", content=SEGMENT, headers={"accept": "multipart/mixed"}
            )
            assert b"Rendition-Name: small" in response.content
        playlist = (await client.get("/stream/theirs.m3u8")).text
    assert "small" in playlist
    [(path, body, _)] = listener.calls
    assert (path, body) == ("/push", {"url": f"{calling.url}/live/mine/0.ts"})


@pytest.mark.parametrize(
    ("status", "response", "expected"),
    [(200, None, 200), (200, {}, 403), (200, {"manifestID": ""}, 403), (403, None, 403), (204, None, 403)],
)
async def test_a_push_that_is_refused(
    listener: Listener, calling: MockGateway, status: int, response: object, expected: int
) -> None:
    listener.status, listener.response = status, response
    async with connect(calling) as client:
        assert (await client.post("/live/mine/0.ts", content=SEGMENT)).status_code == expected


async def test_profiles_of_header_and_webhook_must_agree(listener: Listener, calling: MockGateway) -> None:
    listener.response = {"manifestID": "m", "profiles": [{"name": "a", "width": 16, "height": 16}]}
    header = json.dumps({"profiles": [{"name": "b", "width": 16, "height": 16}]})
    async with connect(calling) as client:
        response = await client.post(
            "/live/m/0.ts", content=SEGMENT, headers={"livepeer-transcode-configuration": header}
        )
    assert response.status_code == 500


async def test_a_recording_calls_its_webhook_once(listener: Listener) -> None:
    listener.response = {"manifestID": "m"}
    async with MockGateway(Options(external_store=True), hooks=listener.hooks()) as gateway, connect(gateway) as client:
        await client.post("/live/m/0.ts", content=SEGMENT)
        listener.calls.clear()
        listener.status = 403
        assert (await client.get("/recordings/m/index.m3u8")).status_code == 403
        listener.response = "stream not found"
        assert (await client.get("/recordings/m/index.m3u8")).status_code == 404
        listener.status, listener.response = 200, None
        for _ in range(2):
            assert (await client.get("/recordings/m/index.m3u8")).status_code == 200
    assert [call[1] for call in listener.calls] == [{"url": "/recordings/m/index.m3u8"}] * 3


@pytest.mark.ci
async def test_flags_have_the_gateways_names(listener: Listener) -> None:
    listener.response = None
    flags = ["-liveAIHeartbeatURL", f"{listener.url}/beat", "-liveAIHeartbeatHeaders", "x-a:b,x-c:d"]
    more = [
        "-liveAIHeartbeatInterval",
        "0.05",
        "-liveAIAuthWebhookUrl",
        f"{listener.url}/live",
        "-liveAIAuthApiKey",
        "k",
    ]
    async with running(*flags, *more, "-authWebhookUrl", f"{listener.url}/push") as (_, url):
        await eventually(lambda: len(listener.calls) >= 2)
        path, body, headers = listener.calls[0]
        assert (path, body, headers["x-a"], headers["x-c"]) == ("/beat", {"ids": None}, "b", "d")
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client:
            await client.post("/live/mine/0.ts", content=SEGMENT)
            await client.post(f"{LIVE}/cam/start", data=FORM)
    assert {"/push", "/live"} <= {call[0] for call in listener.calls}
    assert next(call[2]["x-api-key"] for call in listener.calls if call[0] == "/live") == "k"
