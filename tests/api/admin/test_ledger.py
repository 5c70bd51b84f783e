"""Credits, events, decisions, reports and the deployment itself over the admin API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from middlewares.auth.records import Role
from middlewares.ledger.settlement.event import Event, plain
from proxy.api.admin.ledger_documents import EventDocument
from proxy.store.configured import redis_keys
from tests.api.admin.attention import needs_attention
from tests.api.admin.conftest import ADMIN, Operated
from tests.api.admin.test_records import call
from tests.support.builder import BuilderApp, bearer
from tests.support.deployment import eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def clean(operated: Operated, app: str) -> bool:
    """Return True if the totals of an app are those of its events."""
    found = await call(operated, "GET", "/verify", params={"client_id": app})
    return bool(found["differences"] == [] and found["events"] > 0)


async def test_a_key_in_place_of_a_user_id_gets_no_wallet(operated: Operated, app: BuilderApp) -> None:
    """Hazard: a key that somebody pastes there, and that names a wallet, events and audit lines for ever."""
    path, sent = f"/apps/{app.client_id}/credits", {"amount": "5", "reference": "pasted"}
    for secret in (await operated.deployment.key(app.client_id), app.secret, operated.keys[Role.VIEWER]):
        for method, below, body in (("GET", "", None), ("POST", "/grant", sent), ("POST", "/debit", sent)):
            refused = await call(operated, method, f"{path}{below}", 400, params={"user": secret}, json=body)
            assert (refused["code"], secret in str(refused)) == ("invalid_parameter", False)


async def test_credits_count_once_for_each_reference(operated: Operated, app: BuilderApp) -> None:
    path, sent = f"/apps/{app.client_id}/credits", {"amount": str(10**27), "reference": "inv 1", "note": "paid"}
    made = await asyncio.gather(*(call(operated, "POST", f"{path}/grant", json=sent) for _ in range(10)))
    assert sorted(each["repeated"] for each in made) == [False] + [True] * 9
    assert (await call(operated, "GET", path))["available"] == str(10**27)
    assert (await call(operated, "POST", f"{path}/grant", 409, json=sent | {"amount": "1"}))[
        "code"
    ] == "reference_taken"
    too_much = {"amount": str(10**28), "reference": "x"}
    assert (await call(operated, "POST", f"{path}/debit", 409, json=too_much))["code"] == "insufficient_balance"
    assert (await call(operated, "POST", f"{path}/grant", 400, json=sent | {"amount": "0"}))[
        "code"
    ] == "invalid_parameter"
    assert await clean(operated, app.client_id)


@pytest.mark.parametrize(
    "expires",
    ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.9999Z"],
)
async def test_credits_expire_when_the_ledger_can_say_so(operated: Operated, app: BuilderApp, expires: str) -> None:
    """Hazard: an expiry that the ledger reads as never, or that no response can name, so that the wallet is 500."""
    path, sent = f"/apps/{app.client_id}/credits", {"amount": "5", "reference": "edge", "expires": expires}
    assert (await call(operated, "POST", f"{path}/grant", 400, json=sent))["code"] == "invalid_parameter"
    assert (await call(operated, "GET", path))["granted"] == "0"
    await call(operated, "POST", f"{path}/grant", json=sent | {"expires": "9999-12-30T23:59:59Z"})
    assert [each["expires"] for each in (await call(operated, "GET", path))["lots"]] == ["9999-12-30T23:59:59Z"]


async def test_events_by_page_and_by_id(operated: Operated, app: BuilderApp) -> None:
    made = [(await needs_attention(operated.deployment, app.client_id, amount=number)).id for number in range(5)]
    path = f"/apps/{app.client_id}/events"
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": "", "more": True}
    while page["more"]:
        page = await call(operated, "GET", path, params={"limit": 2, "after": page["next"]})
        found += page["items"]
    assert [each["id"] for each in found] == made
    assert await call(operated, "GET", f"{path}/{made[2]}") == found[2]
    late = await needs_attention(operated.deployment, app.client_id)
    following = await call(operated, "GET", path, params={"after": page["next"]})
    assert [each["id"] for each in following["items"]] == [late.id]
    assert (await call(operated, "GET", path, params={"to": "2020-01-01"}))["items"] == []
    assert (await call(operated, "GET", path, 400, params={"after": "x"}))["code"] == "invalid_parameter"
    for backwards in (path, f"/apps/{app.client_id}/attention"):
        refused = await call(operated, "GET", backwards, 400, params={"from": "2026-12-01", "to": "2026-11-01"})
        assert "begins on 2026-12-01" in refused["detail"]
    assert (await call(operated, "GET", f"{path}/none", 404))["code"] == "unknown_id"
    other = (await call(operated, "POST", "/apps", 201, json={"name": "other", "plan": "free"}))["client_id"]
    assert (await call(operated, "GET", f"/apps/{other}/events/{made[0]}", 404))["code"] == "unknown_id"


async def test_the_document_of_an_event_has_every_field_in_its_order() -> None:
    event = Event("i", 0, 0, "a", None, None, "p", None, "m", "o")
    assert list(EventDocument.model_fields) == list(plain(event, "0"))


async def test_a_page_before_all_events_has_a_next_one(operated: Operated, app: BuilderApp) -> None:
    """Hazard: a place with a time below 0, which no place may have, so that the next page is refused."""
    path, since = f"/apps/{app.client_id}/events", {"from": "1900-01-01"}
    none = await call(operated, "GET", path, params=since)
    made = await needs_attention(operated.deployment, app.client_id)
    following = await call(operated, "GET", path, params=since | {"after": none["next"]})
    assert (none["items"], [each["id"] for each in following["items"]]) == ([], [made.id])


@pytest.mark.parametrize(("decision", "amount"), [("refund", "-700"), ("accept", "0")])
async def test_a_decision_is_final_and_made_once(
    operated: Operated, app: BuilderApp, decision: str, amount: str
) -> None:
    event = await needs_attention(operated.deployment, app.client_id, amount=700)
    path, sent = f"/apps/{app.client_id}/attention", {"decision": decision, "note": "looked at"}
    [item] = (await call(operated, "GET", path))["items"]
    assert (item["event"]["id"], item["reserved"], item["resolution"]) == (event.id, None, None)
    uncharged = await call(operated, "POST", f"{path}/{event.id}", 409, json={"decision": "charge"})
    assert uncharged["code"] == "nothing_to_charge"
    made = await asyncio.gather(*(call(operated, "POST", f"{path}/{event.id}", json=sent) for _ in range(10)))
    assert sorted(each["repeated"] for each in made) == [False] + [True] * 9
    assert {each["amount"] for each in made} == {amount}
    for other in {"refund", "accept"} - {decision}:
        refused = await call(operated, "POST", f"{path}/{event.id}", 409, json={"decision": other})
        assert refused["code"] == "already_resolved"
    [item] = (await call(operated, "GET", path))["items"]
    assert item["resolution"]["decision"] == decision
    written = await call(operated, "GET", f"/apps/{app.client_id}/events/{event.id}-resolution")
    assert (written["amount"], written["outcome"], written["note"]) == (amount, decision, "looked at")
    usage = await call(operated, "GET", f"/apps/{app.client_id}/usage")
    assert (usage["totals"]["amount"], usage["totals"]["request_count"]) == (str(700 + int(amount)), 1)
    statement = await call(operated, "GET", f"/apps/{app.client_id}/statement", params={"period": event.time_text[:7]})
    assert statement["totals"]["amount"] == str(700 + int(amount))
    assert await clean(operated, app.client_id)


async def test_an_orphan_is_charged_what_was_reserved(operated: Operated, app: BuilderApp) -> None:
    event = await needs_attention(operated.deployment, app.client_id, reserved=10**26)
    path = f"/apps/{app.client_id}/attention/{event.id}"
    made = await call(operated, "POST", path, json={"decision": "charge"})
    assert (made["amount"], made["repeated"]) == (str(10**26), False)
    assert (await call(operated, "POST", path, json={"decision": "charge"}))["repeated"] is True
    usage = await call(operated, "GET", f"/apps/{app.client_id}/usage")
    assert usage["totals"]["amount"] == str(10**26)
    assert await clean(operated, app.client_id)


async def test_a_charged_orphan_counts_in_the_limits_of_its_key_and_of_those_it_was_rotated_to(
    operated: Operated, app: BuilderApp
) -> None:
    sent = {"limits": {"spend_total": str(10**26)}}
    first = await call(operated, "POST", f"/apps/{app.client_id}/keys", 201, json=sent)
    key = await call(operated, "POST", f"/keys/{first['key_id']}/rotate", 201, json={"overlap_seconds": 60})
    event = await needs_attention(operated.deployment, app.client_id, reserved=7, key=key["key_id"])
    await call(operated, "POST", f"/apps/{app.client_id}/attention/{event.id}", json={"decision": "charge"})
    counter = redis_keys(operated.deployment.settings).rule(app.client_id, "own", "key", first["key_id"], "spend-total")
    async with operated.deployment.store() as store:
        assert await store.redis.hget(counter, "used:total") == b"7"
    assert await clean(operated, app.client_id)


async def test_what_needs_no_attention_is_not_decided(operated: Operated, app: BuilderApp) -> None:
    await call(operated, "POST", f"/apps/{app.client_id}/credits/grant", json={"amount": "1", "reference": "r"})
    [event] = (await call(operated, "GET", f"/apps/{app.client_id}/events"))["items"]
    path = f"/apps/{app.client_id}/attention"
    refused = await call(operated, "POST", f"{path}/{event['id']}", 409, json={"decision": "refund"})
    assert refused["code"] == "nothing_to_resolve"
    assert (await call(operated, "POST", f"{path}/none", 404, json={"decision": "refund"}))["code"] == "unknown_id"
    assert (await call(operated, "GET", path))["items"] == []


async def test_the_state_of_the_deployment(operated: Operated) -> None:
    state = await call(operated, "GET", "/status")
    assert state["workers"] == {"configured": 1, "running": 1}
    assert state["redis"] == {"available": True, "reason": ""}
    assert state["history"]["available"] is True
    assert state["history"]["lag_seconds"] >= 0
    public = f"{operated.deployment.public}{ADMIN}/status"
    seen = (await operated.http.get(public, headers=operated.headers(Role.VIEWER))).json()
    assert seen["workers"] == {"configured": 1, "running": None}
    plans = await call(operated, "GET", "/plans")
    assert {"free", "standard", "premium"} <= {each["name"] for each in plans["items"]}


async def test_every_act_is_in_the_audit_log(operated: Operated, app: BuilderApp) -> None:
    await call(operated, "POST", f"/apps/{app.client_id}/suspend")
    await call(operated, "POST", f"/apps/{app.client_id}/resume")
    viewer = operated.headers(Role.VIEWER)
    assert (await operated.http.post(f"{ADMIN}/apps/{app.client_id}/suspend", headers=viewer)).status_code == 403
    _, out, _ = await operated.deployment.cli("audit", "list", "--json")

    lines = [each for each in json.loads(out) if each["actor_kind"] == "operator"]
    mine = [(each["action"], each["actor"], each["key_id"]) for each in lines if each["app"] == app.client_id]
    admin_id = operated.keys[Role.ADMIN].split("_")[1]
    assert mine == [(action, "a admin", admin_id) for action in ("app.suspend", "app.resume")]
    refused = [each for each in lines if each["action"] == "route.call"][-1]
    assert (refused["actor"], refused["target"], refused["code"]) == ("a viewer", "suspend_app", "insufficient_role")


async def replaced(operated: Operated, listener: str) -> None:
    """Reload by a listener; return once every worker is another one."""
    before = {worker.pid for worker in operated.deployment.workers()}
    assert (await operated.http.post(f"{listener}{ADMIN}/reload", headers=operated.headers())).status_code == 200
    await eventually(lambda: not before & {each.pid for each in operated.deployment.workers()})


@pytest.mark.ci
async def test_a_reload_takes_a_good_configuration_and_refuses_a_bad_one(operated: Operated) -> None:
    deployment = operated.deployment
    file, good = deployment._file, deployment._file.read_text()
    file.write_text(good + "\nworkers: none\n")
    for listener in (deployment.private, deployment.public):
        refused = await operated.http.post(f"{listener}{ADMIN}/reload", headers=operated.headers())
        assert (refused.status_code, refused.json()["code"]) == (409, "configuration_refused")
        assert "workers" in refused.json()["detail"]
    file.write_text(good + "\nplans: {added: {tier: standard}}\n")
    for listener in (deployment.private, deployment.public):
        await replaced(operated, listener)
    assert "added" in {each["name"] for each in (await call(operated, "GET", "/plans"))["items"]}
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"{deployment.public}{ADMIN}/plans"
        again = await http.get(url, headers=bearer(operated.keys[Role.VIEWER]))
    assert "added" in {each["name"] for each in again.json()["items"]}
