"""Ten traps for a naive proxy in front of a gateway (gateway contract section 9), each of which Tollgate avoids.

Each test has a customer of its own. Every pool has two gateways, so that what lives in one can be missed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from proxy.mock_gateway.media import png
from tests.support.deployment import Customer, eventually
from tests.support.gateways import OFFER, SDP, TwoTierDeployment, deployed_two_tiers, job, made_image, made_stream
from tests.usage_tracker.meters.segments import segment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="module")]

PLAN = {
    "billing": "usage",
    "prices": [
        {"unit": "requests", "amount": 1_000},
        {"unit": "seconds", "amount": 1_000},
        {"workload": "llm", "unit": "output_tokens", "amount": 10},
    ],
}
CHAT: dict[str, Any] = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
FORM: dict[str, Any] = {"data": {"model_id": "m"}, "files": {"image": ("a.png", png(16, 16), "image/png")}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two_tiers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TwoTierDeployment]:
    async with deployed_two_tiers(tmp_path_factory.mktemp("traps"), {"plans": {"priced": PLAN}, "edge": {}}) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def customer(two_tiers: TwoTierDeployment) -> Customer:
    return await two_tiers.deployment.customer("priced")


@pytest_asyncio.fixture(loop_scope="module")
async def client(two_tiers: TwoTierDeployment, customer: Customer) -> AsyncIterator[httpx.AsyncClient]:
    async with two_tiers.client(customer) as client:
        yield client
    assert [gateway.counters["crashes"] for gateway in two_tiers.gateways] == [0, 0, 0, 0]


def capable(capability: str) -> dict[str, str]:
    """Return the header that carries a BYOC job for a capability."""
    description = {"request": "{}", "parameters": "{}", "capability": capability, "timeout_seconds": 30}
    return {"livepeer": base64.b64encode(json.dumps(description).encode()).decode()}


@pytest.mark.slow
async def test_1_a_200_is_no_proof_of_work(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    wrong_method = await client.get("/llm")  # the gateway would respond 200
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    nobody_could = await client.post("/process/request/a", headers=capable("mock/empty"))
    assert (nobody_could.status_code, nobody_could.content) == (200, b"")
    unfinished = await client.post("/llm", json={**CHAT, "model": "mock/no-finish"})
    assert unfinished.status_code == 200
    events = await two_tiers.deployment.settled(2, customer.app)
    assert {(event["outcome"], event["amount"]) for event in events} == {("upstream_error", "0")}


async def test_2_a_gateway_that_drops_or_dies(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    dropped = await client.post("/llm", json={**CHAT, "model": "mock/drop"})
    assert (dropped.status_code, dropped.json()["code"]) == (502, "gateway_dropped")
    [event] = await two_tiers.deployment.settled(1, customer.app)
    assert (event["outcome"], event["amount"]) == ("upstream_error", "0")
    for path, options in (
        ("/text-to-image", {"json": {"prompt": "p"}}),
        ("/text-to-speech", {"json": {"text": "hi"}}),
        ("/upscale", {"data": {"prompt": "p"}, "files": FORM["files"]}),
        ("/llm", {"json": {name: value for name, value in CHAT.items() if name != "model"}}),
        ("/llm", {"json": {**CHAT, "temperature": 2.5}}),
        ("/llm", {"json": {**CHAT, "messages": []}}),
        ("/llm", {"json": {**CHAT, "messages": [{"role": "tool", "content": "hi"}]}}),
        ("/llm", {"json": {**CHAT, "messages": [{"role": "user", "content": "a " * 8_193}]}}),
    ):
        refused = await client.post(path, **options)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter"), path
    assert len(two_tiers.forwarded(customer.app)) == 1
    detached = await client.post("/image-to-video", **FORM, headers={"prefer": "respond-async"})
    assert detached.status_code == 200, "answered when it is done; without orchestrators it would end the gateway"


async def test_3_streams_are_neither_held_nor_endless(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    chat = {**CHAT, "model": f"mock/hold={customer.app},hold-at=2"}
    async with client.stream("POST", "/llm", json=chat) as response:
        lines = response.aiter_lines()
        first = [await anext(lines) for _ in range(3)]
        assert [line[:5] for line in first] == ["data:", "", "data:"], "while the third event is held"
        for gateway in two_tiers.plain:
            gateway.release(customer.app)
        rest = [line async for line in lines if line]
    assert len(rest) == 7
    assert "[DONE]" not in rest[-1], "the gateway never says so, and nobody waits for it"
    flood = await client.post("/process/request/a", headers=capable("mock/flood,tokens=2"))
    assert flood.text.rstrip("\n").endswith('data: {"token":"t1"}')
    _, event = await two_tiers.deployment.settled(2, customer.app)
    assert (event["outcome"], event["error"]) == ("refused", "answer_flooded")


async def test_4_clients_choose_neither_orchestrators_nor_outputs(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    mine = "https://mine.invalid:1"
    chosen = {"parameters": json.dumps({"orchestrators": {"include": [mine]}}), "sender": mine, "sig": mine}
    members = {"request": "{}", "capability": "c", "timeout_seconds": 10**6, **chosen}
    headers = {"livepeer": base64.b64encode(json.dumps(members).encode()).decode()}
    assert (await client.post("/process/request/a", headers=headers)).status_code == 200
    outputs = {"rtmp_output": mine, "stream_name": "s"}
    assert (await client.post("/process/stream/start", headers=headers, json=outputs)).status_code == 200
    config = {"livepeer-transcode-configuration": json.dumps({"objectStore": mine, "manifestID": mine})}
    assert (await client.put("/live/m/0.ts", content=segment("ts", "25").data, headers=config)).status_code == 200
    query = f"?orchestrator={mine}&rtmpOutput={mine}&streamId={mine}&pipeline={mine}"
    assert (await client.post(f"/live/video-to-video/s/whip{query}", content=OFFER, headers=SDP)).status_code == 201
    started = await client.post("/live/video-to-video/s/start", data={"rtmp_url": mine})
    assert started.status_code == 404
    forwarded = [record for _, record in two_tiers.forwarded(customer.app)]
    assert len(forwarded) == 4
    for record in forwarded:
        texts = [record.target, *(value for name, value in record.headers if name.lower() != "livepeer")]
        texts += [base64.b64decode(value).decode() for name, value in record.headers if name.lower() == "livepeer"]
        assert not [text for text in texts if "mine.invalid" in text]
    jobs = [
        json.loads(base64.b64decode(header)) for header in (each.header("livepeer") for each in forwarded) if header
    ]
    assert [sent["timeout_seconds"] for sent in jobs] == [900, 900]


async def test_5_every_link_leads_to_tollgate(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    whip = await client.post("/live/video-to-video/cam/whip", content=OFFER, headers=SDP)
    links = [whip.headers["location"], whip.headers["livepeer-playback-url"]]
    stream = await made_stream(client, stream_name="b")
    links += [url for name, url in stream.items() if name.endswith("_url") and url.startswith("http")]
    assert len(links) >= 6
    assert {httpx.URL(link).netloc.decode() for link in links} == {two_tiers.deployment.host}
    assert (await client.get(stream["status_url"])).status_code == 200
    result = await made_image(client)
    assert result.startswith("/stream/")
    assert (await client.get(result)).status_code == 200


async def test_6_everything_returns_to_the_gateway_that_has_it(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    for number in range(6):
        result = await made_image(client)
        assert (await client.get(result)).content[:4] == b"\x89PNG"
        await client.put(f"/live/cam/{number}.ts", content=segment("ts", "25").data)
        assert (await client.get("/stream/cam.m3u8")).status_code == 200
    assert len({url for url, record in two_tiers.forwarded(customer.app) if "/live/" in record.target}) == 1
    assert len({url for url, _ in two_tiers.forwarded(customer.app)}) == 2


async def test_7_a_name_is_a_tenants_own(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    assert (await client.put("/live/shared/0.ts", content=segment("ts", "25").data)).status_code == 200
    stream = await made_stream(client, stream_name="shared")
    result = await made_image(client)
    thief = await two_tiers.deployment.customer("priced")
    async with two_tiers.client(thief) as other:
        for path in ("/stream/shared.m3u8", result, f"/process/stream/{stream['stream_id']}/status"):
            assert (await client.get(path)).status_code == 200
            assert (await other.get(path)).status_code == 404
        stop = await other.post(f"/process/stream/{stream['stream_id']}/stop", headers=job())
        assert stop.status_code == 404
    assert not [record.target for _, record in two_tiers.forwarded(thief.app) if customer.app in record.target]


async def test_8_what_is_no_client_route_does_not_exist(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    for method, path in (
        ("POST", "/live/video-to-video/cam/start"),
        ("POST", "/live/video-to-video/prefix/cam/start"),
        ("PUT", "/live/video-to-video/smoketest"),
        ("POST", "/process/stream/s/rtmp"),
        ("GET", "/vod/movie.m3u8"),
        ("GET", "/process/token"),
        ("POST", "/capability/register"),
        ("POST", "/setBroadcastConfig"),
    ):
        response = await client.request(method, path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), path
    assert two_tiers.forwarded(customer.app) == []


async def test_9_clients_words_are_not_what_they_pay_by(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    forged = {"content-duration": "1", "accept": "multipart/mixed"}
    await client.put("/live/cam/0.ts", content=segment("ts", "25").data, headers=forged)
    await client.post("/llm", json={**CHAT, "model": "mock/tokens=2", "max_tokens": 500})
    await client.post("/live/video-to-video/cam/whip", content=OFFER, headers=SDP)
    events = {event["workload"]: event for event in await two_tiers.deployment.settled(3, customer.app)}
    push, chat, whip = events["transcoding"], events["llm"], events["live-video-to-video"]
    assert (push["units"]["milliseconds"], push["provenance"]["milliseconds"]) == (2 * 1_000, "measured")
    assert (chat["units"]["output_tokens"], chat["provenance"]["output_tokens"]) == (2, "upstream")
    assert (whip["status"], whip["amount"], whip["units"]) == (201, "0", {})


async def test_10_what_the_gateway_compares_exactly_arrives_exactly(
    two_tiers: TwoTierDeployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    exact = {"accept": "multipart/mixed", "x-forwarded-for": "203.0.113.9", "expect": "100-continue"}
    push = await client.put("/live/cam/0.ts", content=segment("ts", "25").data, headers=exact)
    assert push.headers["content-type"].startswith("multipart/mixed; boundary=")
    whip = await client.post("/live/video-to-video/cam/whip", content=OFFER, headers=SDP)
    assert whip.status_code == 201
    await eventually(lambda: len(two_tiers.forwarded(customer.app)) == 2)
    forwarded = [record for _, record in two_tiers.forwarded(customer.app)]
    [pushed] = [record for record in forwarded if record.method == "PUT"]
    [offered] = [record for record in forwarded if record.method == "POST"]
    assert [value for name, value in pushed.headers if name.lower() == "accept"] == ["multipart/mixed"]
    assert [value for name, value in offered.headers if name.lower() == "content-type"] == ["application/sdp"]
    for record, reply in ((pushed, push), (offered, whip)):
        forwarded_for = [value for name, value in record.headers if name.lower() == "x-forwarded-for"]
        assert forwarded_for == [reply.headers["x-request-id"]]
        assert record.header("expect") is None
