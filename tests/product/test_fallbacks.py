"""Requests over a limit that their plan serves by a cheaper model or another pool, and what everybody is told of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from middlewares.auth.keys import pepper_of
from proxy.control.api_keys import ApiKeys
from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.media import png
from proxy.mock_gateway.record import Record
from tests.support.deployment import Customer, Deployment, deployed, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT: dict[str, Any] = {
    "model": "large",
    "max_tokens": 5,
    "stream": False,
    "messages": [{"role": "user", "content": "hi"}],
}
PICTURE = {"model_id": "large", "prompt": "x", "width": 64, "height": 64}
LIMITED = {"app": {"requests_per_minute": 1}}
BOTH = {"app": {"requests_per_minute": 2}}
PER_TOKEN = {"workload": "llm", "unit": "output_tokens", "amount": 10}


def small(**members: Any) -> dict[str, Any]:
    return {"workload": "llm", "model": "small", "limits": BOTH, **members}


PLANS: dict[str, Any] = {
    "model": {"limits": LIMITED, "fallbacks": [small()]},
    "strict": {"limits": LIMITED, "fallbacks": [small(instead_of=["plan_limit"])]},
    "pool": {"limits": LIMITED, "fallbacks": [{"pool": "spare", "limits": BOTH}]},
    "pictures": {
        "limits": LIMITED,
        "fallbacks": [
            {"workload": workload, "model": "small", "limits": BOTH} for workload in ("text-to-image", "image-to-image")
        ],
    },
    "jobs": {"limits": LIMITED, "fallbacks": [{"workload": "byoc", "model": "small", "limits": BOTH}]},
    "tokens": {
        "billing": "usage",
        "prices": [PER_TOKEN, {**PER_TOKEN, "model": "small", "amount": 1}],
        "limits": {"app": {"caps": [{"unit": "output_tokens", "per": "month", "max": 6}]}},
        "fallbacks": [small()],
    },
    "capped": {
        "limits": {"app": {"caps": [{"unit": "output_tokens", "per": "month", "max": 6}]}},
        "fallbacks": [small(limits={"app": {"caps": [{"unit": "output_tokens", "per": "day", "max": 11}]}})],
    },
    "prepaid": {
        "billing": "credits",
        "prices": [PER_TOKEN, {**PER_TOKEN, "model": "small", "amount": 0}],
        "fallbacks": [small()],
    },
    "prepaid-cheaper": {
        "billing": "credits",
        "prices": [PER_TOKEN, {**PER_TOKEN, "model": "small", "amount": 1}],
        "fallbacks": [small()],
    },
    "narrow": {"limits": LIMITED, "fallbacks": [small(model="narrow")]},
}
CONTEXTS = {"context_tokens": 100_000, "models": {"narrow": {"context_tokens": 128}}}


def digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()


@dataclass
class FallbackTestbed:
    """One worker in front of a gateway, and of another one that only fallbacks name."""

    deployment: Deployment
    main: MockGateway
    spare: MockGateway
    http: httpx.AsyncClient

    async def post(self, customer: Customer, path: str = "/llm", **options: Any) -> httpx.Response:
        headers = {**customer.headers, **options.pop("headers", {})}
        if not {"content", "files", "json"} & options.keys():
            options["json"] = CHAT
        return await self.http.post(path, headers=headers, **options)

    def received(self, gateway: MockGateway, customer: Customer) -> list[Record]:
        return [each for each in gateway.requests if each.header("x-tollgate-app") == customer.app]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def testbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FallbackTestbed]:
    async with MockGateway() as main, MockGateway() as spare:
        pools = {name: {"gateways": [{"url": each.url}]} for name, each in (("main", main), ("spare", spare))}
        config = {
            "plans": PLANS,
            "routing": {"pools": pools, "rules": [{"pool": "main"}]},
            "edge": {"chats": CONTEXTS},
            "hold_ttl": 1,
        }
        async with (
            deployed(tmp_path_factory.mktemp("fallbacks"), config) as deployment,
            httpx.AsyncClient(base_url=deployment.public, timeout=30, trust_env=False) as http,
        ):
            yield FallbackTestbed(deployment, main, spare, http)


TOLD = '"app-requests-per-minute";code=rate_limited;model="small"'


async def test_a_cheaper_model_serves_what_is_over_the_limit(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("model")
    responses = [await testbed.post(customer) for _ in range(4)]
    assert [each.status_code for each in responses] == [200, 200, 200, 429]
    assert [each.headers.get("x-tollgate-fallback") for each in responses] == [None, TOLD, TOLD, None]
    assert responses[3].json()["violated-policies"] == ["app-requests-per-minute"]
    assert '"fallback-llm-app-requests-per-minute";q=2;w=60' in responses[1].headers["ratelimit-policy"]
    received = [each.body_sha256 for each in testbed.received(testbed.main, customer)]
    assert received == [digest(CHAT), digest({**CHAT, "model": "small"}), digest({**CHAT, "model": "small"})]
    events = sorted(await testbed.deployment.settled(3, customer.app), key=lambda each: str(each["id"]))
    told = [(each["model"], each["fallback"], each["requested_model"]) for each in events]
    assert told == [("large", "", "")] + 2 * [("small", "app-requests-per-minute", "large")]

    def logged() -> list[dict[str, Any]]:
        return [each for each in testbed.deployment.lines() if each.get("app") == customer.app]

    await eventually(lambda: len(logged()) == 4)
    assert [each["fallback"] for each in logged()] == [None, *2 * ["app-requests-per-minute"], None]
    assert [each["model"] for each in logged()] == ["large", "small", "small", "large"]


async def test_an_openai_client_gets_the_other_model(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("model")
    chat = {**CHAT, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "stream": True}
    chat["stream_options"] = {"include_usage": True}
    responses = [await testbed.post(customer, "/v1/chat/completions", json=chat) for _ in range(2)]
    assert [each.status_code for each in responses] == [200, 200]
    assert responses[1].headers["x-tollgate-fallback"] == TOLD
    assert '"usage":{' in responses[1].text.replace(" ", "")
    assert testbed.received(testbed.main, customer)[1].body_sha256 == digest(
        {
            "model": "small",
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 5,
            "stream": True,
        }
    )


async def test_only_the_refusals_that_the_plan_names_are_replaced(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("strict")
    assert [(await testbed.post(customer)).status_code for _ in range(2)] == [200, 429]


async def test_another_pool_serves_every_workload(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("pool")
    assert (await testbed.post(customer)).status_code == 200
    responses = [await testbed.post(customer), await testbed.post(customer, "/text-to-image", json=PICTURE)]
    assert {each.headers["x-tollgate-fallback"] for each in responses} == {
        '"app-requests-per-minute";code=rate_limited'
    }
    assert (len(testbed.received(testbed.main, customer)), len(testbed.received(testbed.spare, customer))) == (1, 2)
    events = await testbed.deployment.settled(3, customer.app)
    assert {(each["fallback"] != "", each["gateway"], each["requested_model"]) for each in events} == {
        (False, testbed.main.url, ""),
        (True, testbed.spare.url, ""),
    }
    assert (await testbed.post(customer)).status_code == 429


async def test_a_body_that_is_read_late_falls_back_before_and_after_it(testbed: FallbackTestbed) -> None:
    long = {**CHAT, "messages": [{"role": "user", "content": "x" * 10_000}]}
    customer = await testbed.deployment.customer("model")
    responses = [await testbed.post(customer, json=long) for _ in range(4)]
    assert [each.status_code for each in responses] == [200, 200, 200, 429]
    assert testbed.received(testbed.main, customer)[2].body_sha256 == digest({**long, "model": "small"})
    capped = await testbed.deployment.customer("tokens")
    assert [(await testbed.post(capped, json=long)).headers.get("x-tollgate-fallback") for _ in range(2)] == [
        None,
        '"app-output-tokens-per-month";code=plan_limit;model="small"',
    ]


async def test_forms_and_jobs_name_the_other_model(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("pictures")
    form = {"data": {"model_id": "large", "prompt": "x"}, "files": {"image": ("in.png", png(16, 16), "image/png")}}
    assert (await testbed.post(customer, "/image-to-image", **form)).status_code == 200
    echo = {"x-mock-gateway": "echo"}
    body = (await testbed.post(customer, "/image-to-image", headers=echo, **form)).content
    assert 0 < body.index(b"small") < body.index(b"large"), "the gateway takes the first"
    assert (await testbed.post(customer, "/text-to-image", json=PICTURE)).status_code == 200
    events = await testbed.deployment.settled(3, customer.app)
    assert sorted(each["model"] for each in events) == ["large", "small", "small"]

    worker = await testbed.deployment.customer("jobs")
    job = {"request": "{}", "parameters": "{}", "capability": "large", "timeout_seconds": 10}
    headers = {"livepeer": base64.b64encode(json.dumps(job).encode()).decode()}
    for _ in range(2):
        response = await testbed.post(worker, "/process/request/echo", headers=headers, content=b"hi")
    assert response.headers["x-tollgate-fallback"] == TOLD
    sent = [each.header("livepeer") or "" for each in testbed.received(testbed.main, worker)]
    assert [json.loads(base64.b64decode(each))["capability"] for each in sent] == ["large", "small"]


async def test_what_falls_back_is_priced_as_what_it_was(testbed: FallbackTestbed) -> None:
    """The cap on tokens is full; what falls back costs a tenth, and counts in no cap of the plan."""
    customer = await testbed.deployment.customer("tokens")
    assert [(await testbed.post(customer)).status_code for _ in range(4)] == [200, 200, 200, 402]
    events = await testbed.deployment.settled(3, customer.app)
    paid = sorted((each["model"], int(each["amount"]), each["units"]["output_tokens"]) for each in events)
    assert [(model, amount // tokens) for model, amount, tokens in paid] == [("large", 10), ("small", 1), ("small", 1)]


@pytest.mark.ci
async def test_what_falls_back_counts_in_the_caps_of_the_fallback(testbed: FallbackTestbed) -> None:
    """Two chats of five tokens: no more of them fit into its cap of ten; and the ledger adds up."""
    customer = await testbed.deployment.customer("capped")
    responses = [await testbed.post(customer) for _ in range(4)]
    assert [each.status_code for each in responses] == [200, 200, 200, 402]
    assert '"app-output-tokens-per-month";code=plan_limit' in responses[1].headers["x-tollgate-fallback"]
    await testbed.deployment.settled(3, customer.app)
    code, out, _ = await testbed.deployment.cli("verify")
    assert code == 0, out


async def test_a_free_model_serves_an_empty_wallet_and_a_cheap_one_does_not(testbed: FallbackTestbed) -> None:
    for plan, statuses in (("prepaid", [200, 200, 402]), ("prepaid-cheaper", [402])):
        customer = await testbed.deployment.customer(plan)
        responses = [await testbed.post(customer) for _ in statuses]
        assert [each.status_code for each in responses] == statuses
        assert responses[-1].json()["code"] == "insufficient_balance"
    code, _, error = await testbed.deployment.cli("credits", "grant", "10", "--app", customer.app)
    assert code == 0, error
    assert (await testbed.post(customer)).headers["x-tollgate-fallback"] == (
        '"balance";code=insufficient_balance;model="small"'
    )


async def test_a_key_that_may_not_use_the_other_model_is_refused(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("model")
    async with testbed.deployment.store() as store:
        keys = ApiKeys(store.redis, pepper_of(testbed.deployment.settings.auth))
        _, key = await keys.create(customer.app, models=["large"])
    narrow = Customer(customer.app, key)
    assert [(await testbed.post(narrow)).status_code for _ in range(2)] == [200, 429]


async def test_a_chat_that_the_other_model_cannot_take_is_refused_as_without_it(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("narrow")
    long = {**CHAT, "messages": [{"role": "user", "content": "x" * 200}]}
    assert [(await testbed.post(customer, json=long)).status_code for _ in range(2)] == [200, 429]
    assert (await testbed.post(customer)).headers["x-tollgate-fallback"] == TOLD.replace("small", "narrow")


async def test_a_repetition_of_what_fell_back_is_given_again(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("model")
    assert (await testbed.post(customer)).status_code == 200
    first = await testbed.post(customer, headers={"idempotency-key": "1"})
    await testbed.deployment.settled(2, customer.app)  # until then a repetition is 409
    second = await testbed.post(customer, headers={"idempotency-key": "1"})
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["idempotency-replayed"] == "true"
    assert first.content == second.content
    assert len(testbed.received(testbed.main, customer)) == 2


async def test_parallel_requests_cannot_all_fall_back(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("model")
    responses = await asyncio.gather(*(testbed.post(customer) for _ in range(20)))
    assert sorted(each.status_code for each in responses) == [200] * 3 + [429] * 17
    assert sum("x-tollgate-fallback" in each.headers for each in responses) == 2


async def test_the_explanation_and_the_catalog_tell_of_it(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("model")
    served = [await testbed.post(customer) for _ in range(2)][1]
    await testbed.deployment.settled(2, customer.app)
    found = await testbed.http.get(f"/api/v1/explain/{served.headers['x-request-id']}", headers=customer.headers)
    [event] = found.json()["settlement"]["events"]
    assert (event["fallback"], event["requested_model"]) == ("app-requests-per-minute", "large")
    catalog = (await testbed.http.get("/api/v1/catalog", headers=customer.headers)).json()
    [plan] = [each for each in catalog["plans"] if each["name"] == "model"]
    [fallback] = plan["fallbacks"]
    assert (fallback["model"], fallback["limits"][0]["requests_per_minute"]) == ("small", 2)


@pytest.mark.ci
async def test_the_event_of_a_killed_worker_tells_of_it(testbed: FallbackTestbed) -> None:
    customer = await testbed.deployment.customer("model")
    assert (await testbed.post(customer)).status_code == 200
    held = asyncio.create_task(testbed.post(customer, headers={"x-mock-gateway": "stall"}))
    await eventually(lambda: len(testbed.received(testbed.main, customer)) == 2)
    [worker] = testbed.deployment.workers()
    worker.kill()
    with pytest.raises(httpx.HTTPError):
        await held
    orphan = (await testbed.deployment.settled(2, customer.app, seconds=30))[1]
    assert (orphan["outcome"], orphan["model"], orphan["fallback"]) == ("orphaned", "small", "app-requests-per-minute")
