"""Headers, parameters and members that clients may not set, or may leave out: what the gateway gets instead."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from proxy.mock_gateway.media import png
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = """
    Authorization Cookie X-Api-Key Proxy-Authorization Proxy-Authenticate Proxy-Connection Keep-Alive TE Trailer
    HTTP2-Settings Forwarded Via X-Real-IP X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port
    X-Forwarded-Prefix X-Request-Id X-Tollgate-App X-Tollgate-Tier X-Tollgate-User X-Tollgate-Request-Id Livepeer
    Livepeer-Transcode-Configuration Livepeer-Orch-Search-Timeout Livepeer-Orch-Search-Resp-Timeout
    Livepeer-Eth-Address Livepeer-Capability Livepeer-Payment Livepeer-Segment Livepeer-Payer-Address
    Livepeer-Session-Token Livepeer-Balance Lp-Trickle-Seq Lp-Trickle-Reset Lp-Tier Signer-Auth-Id
    Signer-Auth-Expiry Signer-State
"""
DISGUISES = ("case", "underscore", "duplicate", "nominated", "trailer")
CANARY = "spoofed-canary"
PARAMETERS = "orchestrator rtmpOutput streamId pipeline Orchestrator RTMPOUTPUT stream_id rtmp-output %6frchestrator"

ORCHESTRATOR = "https://orchestrator-2.invalid:8935"
CONFIG: dict[str, Any] = {
    "plans": {"timed": {"tier": "chosen", "byoc_timeout_seconds": 40}},
    "edge": {"default_models": {"upscale": "house", "text-to-speech": "voice"}},
    "routing": {
        "tiers": {"chosen": {"byoc_include": [ORCHESTRATOR], "live_orchestrator": "orch-2"}},
        "answers": {"llm": {"bytes": 2_000}, "audio-to-text": {"seconds": 0.2}, "byoc": {"empty_lines": 50}},
    },
}
CHAT: dict[str, Any] = {"model": "m", "max_tokens": 5, "stream": False, "messages": [{"role": "user", "content": "hi"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path_factory.mktemp("rewritten"), CONFIG) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="module")
async def customer(deployment: Deployment) -> Customer:
    return await deployment.customer("timed")


@pytest_asyncio.fixture(loop_scope="module")
async def client(deployment: Deployment, customer: Customer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": customer.key}
    async with httpx.AsyncClient(base_url=deployment.public, headers=headers, timeout=30, trust_env=False) as http:
        yield http


def mixed_case(name: str) -> str:
    return "".join(letter.swapcase() if at % 2 else letter for at, letter in enumerate(name))


def disguised(name: str, disguise: str, customer: Customer) -> bytes:
    """Return a request that carries the name in one of the disguises, beside a valid credential."""
    credential = ("Authorization", f"Bearer {customer.key}")
    if name == "Authorization" and disguise != "trailer":
        credential = ("X-Api-Key", customer.key)
    headers = {
        "case": [(mixed_case(name), CANARY)],
        "underscore": [(name.replace("-", "_") if "-" in name else f"X_Tollgate_{name}", CANARY)],
        "duplicate": [(name, CANARY)] * 2,
        "nominated": [("Connection", name), (name, CANARY)],
        "trailer": [("Trailer", name), ("Transfer-Encoding", "chunked")],
    }[disguise]
    head = request("POST", "/upscale", [credential, *headers])
    return head + f"2\r\nhi\r\n0\r\n{name}: {CANARY}\r\n\r\n".encode() if disguise == "trailer" else head


@pytest.mark.parametrize("disguise", DISGUISES)
async def test_no_reserved_name_reaches_the_gateway(deployment: Deployment, customer: Customer, disguise: str) -> None:
    names = NAMES.split()
    assert len(names) == 40
    for name in names:
        async with await RawConnection.open(deployment.address) as connection:
            await connection.send(disguised(name, disguise, customer))
            head = await connection.head()
        assert head.status in {200, 400, 401}, (name, head.status)
    await eventually(lambda: deployment.gateway.counters["in_flight"] == 0)
    forwarded = [header for record in deployment.gateway.requests for header in record.headers]
    assert not [name for name, value in forwarded if CANARY in value]
    if disguise == "duplicate":
        assert deployment.forwarded(customer.app), "most of these requests are honest otherwise"


@pytest.mark.parametrize("name", PARAMETERS.split())
async def test_no_reserved_parameter_reaches_the_gateway(
    deployment: Deployment, customer: Customer, client: httpx.AsyncClient, name: str
) -> None:
    for query in (f"{name}={CANARY}", f"a=1&{name}={CANARY}&{name}={CANARY}", f"a=1;{name}={CANARY}"):
        path = f"/live/video-to-video/cam/whip?{query}"
        await client.post(path, content=b"v=0", headers={"content-type": "application/sdp"})
    assert deployment.forwarded(customer.app)
    assert not [record.target for record in deployment.forwarded(customer.app) if CANARY in record.target]


async def test_the_orchestrator_of_a_live_stream_is_the_tiers(
    deployment: Deployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    sdp = {"content-type": "application/sdp"}
    await client.post("/live/video-to-video/cam/whip?orchestrator=mine&x=1", content=b"v=0", headers=sdp)
    [forwarded] = deployment.forwarded(customer.app)
    query = httpx.URL(forwarded.target).params
    assert (query.get_list("orchestrator"), query["x"]) == (["orch-2"], "1")


def livepeer(**members: object) -> dict[str, str]:
    job = {"request": "{}", "parameters": "{}", "capability": "c", "timeout_seconds": 10, **members}
    return {"livepeer": base64.b64encode(json.dumps(job).encode()).decode()}


async def test_a_job_is_written_anew(deployment: Deployment, customer: Customer, client: httpx.AsyncClient) -> None:
    mine = json.dumps({"orchestrators": {"include": ["https://orchestrator-1.invalid:8935"]}, "x": 1})
    job = livepeer(parameters=mine, timeout_seconds=99_999, sender="0x0", sig="0x0", capability_url="http://x", id="1")
    response = await client.post("/process/request/echo", headers=job, content=b"hi")
    assert (response.status_code, response.json()["capability"]) == (200, "c")
    [event] = await deployment.settled(1, customer.app)
    assert (event["workload"], event["model"], event["outcome"]) == ("byoc", "c", "complete")
    rewritten = json.loads(base64.b64decode(deployment.record(event["id"]).header("livepeer") or ""))
    assert json.loads(rewritten.pop("parameters")) == {"x": 1, "orchestrators": {"include": [ORCHESTRATOR]}}
    assert rewritten == {"id": event["id"], "request": "{}", "capability": "c", "timeout_seconds": 40}


async def test_a_malformed_job_is_refused(
    deployment: Deployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    for header in ("", "e30", base64.b64encode(b'{"capability":"c"}').decode()):
        response = await client.post("/process/request/echo", headers={"livepeer": header})
        assert (response.status_code, response.json()["code"]) == (400, "malformed_job")
    assert deployment.forwarded(customer.app) == []


async def test_a_stream_that_floods_is_over(
    deployment: Deployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    """A worker ended the stream without `[DONE]`; the client gets all of it, and the measured time counts."""
    response = await client.post("/process/request/echo", headers=livepeer(capability="mock/flood,tokens=3"))
    assert response.text.rstrip("\n").endswith('data: {"token":"t2"}')
    assert len(response.text) - len(response.text.rstrip("\n")) <= 2 + 50 + 65_536
    [event] = await deployment.settled(1, customer.app)
    assert (event["outcome"], event["error"]) == ("refused", "answer_flooded")
    assert event["provenance"]["milliseconds"] == "measured"
    await eventually(lambda: deployment.forwarded(customer.app)[0].outcome == "aborted")


async def test_a_response_past_its_limit_is_cut(
    deployment: Deployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    chat = {**CHAT, "model": "mock/tokens=500,hold=long,hold-at=3", "max_tokens": 500, "stream": True}
    async with client.stream("POST", "/llm", json=chat) as response:
        chunks = response.aiter_raw()
        assert await anext(chunks)  # so that not all of it is too long
        deployment.gateway.release("long")
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in chunks:
                pass
    [event] = await deployment.settled(1, customer.app)
    assert (event["outcome"], event["error"]) == ("refused", "answer_too_long")
    assert 0 < event["units"]["output_tokens"] < 500
    await eventually(lambda: deployment.forwarded(customer.app)[0].outcome == "aborted")


async def test_a_response_that_drips_without_end_is_cut(
    deployment: Deployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    headers = {"x-mock-gateway": "bytes=100000,chunks=10000,chunk-delay=0.02"}
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/audio-to-text", headers=headers)
    [event] = await deployment.settled(1, customer.app)
    assert event["error"] == "answer_too_long"


async def test_a_form_goes_by_its_model(deployment: Deployment, customer: Customer, client: httpx.AsyncClient) -> None:
    files = {"image": ("a.png", png(48, 32), "image/png")}
    response = await client.post("/image-to-image", data={"model_id": "m/x", "prompt": "p"}, files=files)
    assert response.status_code == 200
    named = await client.post("/upscale", data={"prompt": "p"}, files=files)
    assert named.status_code == 200
    without = await client.post("/image-to-image", data={"prompt": "p"}, files=files)
    assert (without.status_code, without.json()["parameter"]) == (400, "model_id")
    events = await deployment.settled(2, customer.app)
    assert [(event["workload"], event["model"]) for event in events] == [
        ("image-to-image", "m/x"),
        ("upscale", "house"),
    ]


async def test_a_json_request_gets_the_configured_model(
    deployment: Deployment, customer: Customer, client: httpx.AsyncClient
) -> None:
    response = await client.post("/text-to-speech", json={"text": "hi"})
    assert response.status_code == 200
    without = await client.post("/text-to-image", json={"prompt": "p"})
    assert (without.status_code, without.json()["parameter"]) == (400, "model_id")
    [event] = await deployment.settled(1, customer.app)
    assert event["model"] == "voice"
    sent = b'{"text":"hi","model_id":"voice"}'
    assert deployment.record(event["id"]).body_length == len(sent)


async def test_a_key_for_some_models_is_good_for_these_alone(deployment: Deployment, customer: Customer) -> None:
    """A BYOC capability counts as a model, and so does the model of a form, wherever it stands."""
    _, created, _ = await deployment.cli("keys", "create", "--app", customer.app, "--model", "mine", "--json")
    files = {"image": ("a.png", png(8, 8), "image/png")}
    async with httpx.AsyncClient(
        base_url=deployment.public, headers={"x-api-key": json.loads(created)["key"]}, trust_env=False
    ) as narrow:
        for model, status in (("mine", 200), ("other", 403)):
            job = await narrow.post("/process/request/echo", headers=livepeer(capability=model), content=b"hi")
            form = await narrow.post("/image-to-image", data={"model_id": model, "prompt": "p"}, files=files)
            chat = await narrow.post("/v1/chat/completions", json={**CHAT, "model": model})
            assert [response.status_code for response in (job, form, chat)] == [status] * 3
            if status == 200:
                result = await narrow.get(form.json()["images"][0]["url"])
                assert result.status_code == 200
        unnamed = await narrow.post("/process/request/echo", content=b"hi")
        assert (unnamed.status_code, unnamed.json()["code"]) == (403, "insufficient_scope")
