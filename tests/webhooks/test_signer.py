"""Hazards: a response that a remote signer turns into 500 or 502, and payments that go on for ever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from config.plans import Plan
from config.settings import Settings
from config.workloads import Workload
from middlewares.store import StoreError
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.users import Users
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.service import Webhooks
from tests.live.assertions import LedgerView
from tests.live.server_fixture import SECRET
from tests.webhooks.signer_peer import AGES, SignerPeer, serve_signer

PLANS = {
    name: Plan.model_validate(fields)
    for name, fields in {
        "capped": {
            "billing": "usage",
            "prices": [{"unit": "seconds", "amount": 1}],
            "limits": {"key": {"concurrent": 2, "requests_per_minute": 3}},
            "signer": {"max_price": {"live": 2**63 - 1, "lv2v": 7}},
        },
        "prepaid": {"billing": "credits", "prices": [{"unit": "seconds", "amount": 1}]},
        "daily": {
            "billing": "usage",
            "prices": [{"unit": "seconds", "amount": 1}],
            "limits": {"app": {"caps": [{"unit": "seconds", "per": "day", "max": 10}]}},
        },
    }.items()
}


@pytest.fixture
async def signer(ledger_view: LedgerView) -> AsyncIterator[SignerPeer]:
    settings = Settings.model_validate(
        {"plans": PLANS, "webhooks": {"signer": {"secret": SECRET, "minimum_balance": 100}}}
    )
    view = ledger_view
    webhooks = Webhooks(view.clocked, view.store.redis, view.keys, LiveMetrics(CollectorRegistry()))
    await webhooks.configure(settings)
    async with serve_signer(webhooks, view) as peer:
        yield peer
    await webhooks.close()


async def test_what_a_signer_is_allowed_has_the_shape_that_it_reads(signer: SignerPeer) -> None:
    app, key = await signer.customer("capped")
    assert await signer.pay(key, "s1", "lv2v") == {
        "status": 200,
        "expiry": signer.now + 30,
        "auth_id": f"{app}:app",
        "maxPrice": {"price": 7, "currency": "wei", "unit": "720p-pixel-seconds"},
    }
    live = await signer.pay(key, "s2", "live")
    assert live["maxPrice"] == {"price": 2**63 - 1, "currency": "wei", "unit": "seconds"}
    assert "maxPrice" not in await signer.pay(key, "s1", "fixed")
    assert "maxPrice" not in await signer.pay(key, "s1", "")


async def test_a_user_pays_in_its_own_name_by_key_and_in_any_spelling(signer: SignerPeer) -> None:
    redis = signer.view.store.redis
    app, _ = await signer.customer("capped")
    user, _ = await Users(redis).create(app, "somebody")
    _, key = await ApiKeys(redis, None).create(app, user=user.user_id)
    for number, headers in enumerate(
        ({"X-Api-Key": [key]}, {"Authorization": [f"Bearer {key}"]}, {"authorization": [f"bearer {key}"]})
    ):
        allowed = await signer.ask({"headers": headers, "state": {"StateID": "one", "Type": "live"}})
        assert allowed["auth_id"] == f"{app}:{user.user_id}", number


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"headers": {}, "state": {"StateID": "s"}}, 401, "missing_credentials"),
        ({"headers": None, "state": {"StateID": "s"}}, 401, "missing_credentials"),
        ({"headers": {"X-Api-Key": None}, "state": {"StateID": "s"}}, 401, "missing_credentials"),
        ({"headers": {"X-Api-Key": ["a", "b"]}, "state": {"StateID": "s"}}, 401, "ambiguous_credentials"),
        ({"headers": {"X-Api-Key": ["tgk_nobody"]}, "state": {"StateID": "s"}}, 401, "invalid_credentials"),
        ({"headers": {"Authorization": ["Basic abc"]}, "state": {"StateID": "s"}}, 401, "unsupported_scheme"),
        ({"headers": {"Signer-Auth-Id": ["app:me"]}, "state": {"StateID": "s"}}, 401, "missing_credentials"),
        ({"headers": {"X-Api-Key": ["tgk_nobody"]}}, 400, "invalid_parameter"),
        ({"headers": {"X-Api-Key": ["\N{SNOWMAN}"]}, "state": {"StateID": "s"}}, 401, "invalid_credentials"),
        ({"headers": {}, "state": {"StateID": "no/name"}}, 400, "invalid_parameter"),
        ({"headers": {}, "state": {"StateID": "s", "App": "a" * 10_000}}, 400, "invalid_parameter"),
    ],
)
async def test_a_caller_that_may_not_pay_is_refused_within_a_200(
    signer: SignerPeer, body: dict[str, Any], status: int, code: str
) -> None:
    refused = await signer.ask(body)
    assert (refused["status"], refused["code"]) == (status, code)
    assert set(refused) == {"status", "reason", "code"}
    assert refused["reason"]
    assert "nobody" not in json.dumps(refused)


async def test_a_wallet_near_zero_is_483(signer: SignerPeer) -> None:
    app, key = await signer.customer("prepaid")
    assert (await signer.pay(key, "s1", "live"))["status"] == 483
    await signer.view.grant(100, app)
    refused = await signer.pay(key, "s1", "live")
    assert (refused["status"], refused["code"]) == (483, "insufficient_balance")
    await signer.view.grant(1, app)
    allowed = await signer.pay(key, "s1", "live")
    assert (allowed["status"], allowed["expiry"]) == (200, signer.now + 10)  # credits are looked at more often


@pytest.mark.ci
async def test_a_session_counts_once_and_keeps_its_place_while_it_pays(signer: SignerPeer) -> None:
    _, key = await signer.customer("capped")
    for _ in range(5):  # three requests are allowed in a minute; each session is one
        for session in ("s1", "s2"):
            assert (await signer.pay(key, session, "live"))["status"] == 200
        signer.view.clocked.now_ms += 30_000 + 1
    assert (await signer.pay(key, "s3", "live"))["code"] == "concurrency_limited"


async def test_one_session_more_than_the_plan_has_places_is_429(signer: SignerPeer) -> None:
    _, key = await signer.customer("capped")
    for session in ("s1", "s2"):
        assert (await signer.pay(key, session, "live"))["status"] == 200
    third = await signer.pay(key, "s3", "live")
    assert (third["status"], third["code"]) == (429, "concurrency_limited")
    assert (await signer.pay(key, "s1", "live"))["status"] == 200  # a refusal of others takes nothing from it
    signer.view.clocked.now_ms += 30_000 + 10_000 + 1  # nobody asked about them: their places are free
    assert (await signer.pay(key, "s3", "live"))["status"] == 200
    await signer.view.reap()
    assert await signer.view.holds() == 1
    await signer.view.check(PLANS)  # no event and no money of any of them


async def test_many_new_sessions_in_a_minute_are_429(signer: SignerPeer) -> None:
    _, key = await signer.customer("capped")
    for session, wait in (("s1", 15_000), ("s2", 26_000), ("s3", 1)):  # the first has given up its place by then
        assert (await signer.pay(key, session, "live"))["status"] == 200
        signer.view.clocked.now_ms += wait
    refused = await signer.pay(key, "s4", "live")
    assert (refused["status"], refused["code"]) == (429, "rate_limited")
    assert (await signer.pay(key, "s3", "live"))["status"] == 200


async def test_a_cap_that_is_used_up_is_402(signer: SignerPeer) -> None:
    app, key = await signer.customer("daily")
    policy = signer.policy(PLANS["daily"], app, key, "daily")
    assert (await signer.pay(key, "s1", "live"))["expiry"] == signer.now + 10
    [rule] = [rule for rule in policy.rules if rule.kind == "d"]
    day = datetime.fromtimestamp(signer.view.clocked.now_ms / 1000, UTC).strftime("%Y%m%d")
    await signer.view.store.redis.hset(rule.keys[0], f"used:{day}", str(rule.limit))
    refused = await signer.pay(key, "s1", "live")
    assert (refused["status"], refused["code"]) == (402, "plan_limit")


async def test_no_permission_outlives_its_key(signer: SignerPeer) -> None:
    redis = signer.view.store.redis
    app, _ = await signer.customer("capped")
    end = datetime.now(UTC) + timedelta(seconds=12.4)
    _, key = await ApiKeys(redis, None).create(app, expires_at=end)
    expiry = (await signer.pay(key, "s1", "live"))["expiry"]
    assert expiry < end.timestamp() <= expiry + 2  # the signer still trusts the whole second of the expiry


async def test_revocation_ends_payments_with_the_next_question(signer: SignerPeer) -> None:
    redis = signer.view.store.redis
    app, _ = await signer.customer("capped")
    record, key = await ApiKeys(redis, None).create(app)
    assert (await signer.pay(key, "s1", "live"))["status"] == 200
    await ApiKeys(redis, None).revoke(record.key_id)
    assert (await signer.pay(key, "s1", "live"))["status"] == 401
    _, other = await ApiKeys(redis, None).create(app)
    await Apps(redis, None).set_status(app, "suspended")
    assert (await signer.pay(other, "s1", "live"))["status"] == 401


async def test_an_identity_does_not_change_within_a_session(signer: SignerPeer) -> None:
    app, key = await signer.customer("capped")
    _, stranger = await signer.customer("capped")
    mine = {"AuthID": f"{app}:app"}
    assert (await signer.pay(key, "s1", "live", **mine))["status"] == 200
    assert (await signer.pay(stranger, "s1", "live", **mine))["status"] == 403  # the signer itself would say 500


async def test_a_narrowed_key_pays_for_its_own_work_alone(signer: SignerPeer) -> None:
    redis = signer.view.store.redis
    app, _ = await signer.customer("capped")
    _, key = await ApiKeys(redis, None).create(app, workloads=[Workload.LIVE_VIDEO_TO_VIDEO], models=["comfy"])
    assert (await signer.pay(key, "s1", "lv2v", App="comfy"))["status"] == 200
    assert (await signer.pay(key, "s2", "lv2v", App="other"))["status"] == 403
    assert (await signer.pay(key, "s2", "live", App="comfy"))["status"] == 403
    _, bound = await ApiKeys(redis, None).create(app, cidrs=["10.0.0.0/8"])
    assert (await signer.pay(bound, "s3", "live"))["code"] == "address_not_allowed"
    _, paged = await ApiKeys(redis, None).create(app, origins=["https://shop.example.com"])
    assert (await signer.pay(paged, "s3", "live"))["code"] == "origin_not_allowed"
    _, streaming = await ApiKeys(redis, None).create(app, streams=["cam"])
    assert (await signer.pay(streaming, "s3", "live"))["code"] == "stream_not_allowed"


async def test_without_redis_a_signer_gets_a_503_of_its_own(
    signer: SignerPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = await signer.customer("capped")

    def away(*_: object, **__: object) -> None:
        raise StoreError("Redis is away")

    monkeypatch.setattr(signer.view.clocked, "run", away)
    assert await signer.pay(key, "s1", "live") == {
        "status": 503,
        "reason": "Credentials and limits cannot be checked right now.",
        "code": "store_unavailable",
    }


@pytest.mark.parametrize("state", AGES)
async def test_states_of_signers_old_and_new_are_read(signer: SignerPeer, state: dict[str, Any]) -> None:
    _, key = await signer.customer("capped")
    assert (await signer.ask({"headers": {"X-Api-Key": [key]}, "state": state}))["status"] == 200
