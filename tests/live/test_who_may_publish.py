"""Who may begin a live stream, push a segment or read a recording: the responses of the webhooks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from config.workloads import Workload
from proxy.control.api_keys import ApiKeys
from tests.live.assertions import LedgerView
from tests.live.server_fixture import SECRET, Rig, rig, settings_of
from tests.live.test_heartbeats import key_id
from tests.support.deployment import Customer

AUTH = "/webhooks/live/auth"
PUSH = "/webhooks/auth"


@pytest.fixture
async def live(ledger_view: LedgerView) -> AsyncIterator[Rig]:
    async with rig(ledger_view, settings_of(rtmp_transcoding=True)) as running:
        yield running


def question(query: str, stream: str = "cam") -> dict[str, str]:
    return {"stream": stream, "stream_key": stream, "type": "rtmp", "query_params": query}


def about(customer: Customer, query: str = "", name: str = "cam") -> dict[str, str]:
    """The same for a stream in its owner's namespace, with the owner's key."""
    return question(f"key={customer.key}{query}", f"{customer.app}_{name}")


async def refused(live: Rig, request: dict[str, str], path: str = AUTH) -> tuple[int, str]:
    response = await live.ask(path, request)
    return response.status_code, response.json()["code"]


async def test_a_stream_has_an_id_of_its_owner(live: Rig) -> None:
    customer = await live.customer()
    response = await live.ask(AUTH, about(customer))
    assert (response.status_code, response.json()) == (200, {"stream_id": f"{customer.app}_cam"})


async def test_a_plan_has_defaults_and_a_client_the_last_word(live: Rig) -> None:
    customer = await live.customer("studio")
    plain = (await live.ask(AUTH, about(customer))).json()
    assert plain["pipeline"] == "comfy"
    assert plain["pipeline_parameters"] == {"prompt": "mist", "strength": 0.5}
    params = httpx.QueryParams({"params": json.dumps({"strength": 1}), "pipeline": "noop"})
    requested = (await live.ask(AUTH, about(customer, f"&{params}"))).json()
    assert (requested["pipeline"], requested["pipeline_parameters"]) == ("noop", {"prompt": "mist", "strength": 1})
    assert await refused(live, about(customer, "&params=[1]")) == (400, "invalid_parameter")


async def test_the_stream_key_may_be_the_credential_and_never_becomes_an_id(live: Rig) -> None:
    customer = await live.customer()
    response = await live.ask(AUTH, question("", customer.key))
    assert response.json() == {"stream_id": f"{customer.app}_{key_id(customer)}"}


async def test_a_credential_is_needed(live: Rig) -> None:
    for query in ("", "key=", "key=tgk_nonsense", "token=a.b.c", "tollgate=x", "tollgate=AAAA"):
        status, code = await refused(live, question(query))
        assert (status, code) in {(401, "invalid_credentials"), (401, "invalid_token")}


async def test_a_revoked_or_expired_key_begins_nothing(live: Rig) -> None:
    customer = await live.customer()
    await ApiKeys(live.ledger_view.store.redis, None).revoke(key_id(customer))
    assert await refused(live, about(customer)) == (401, "key_revoked")
    late = await live.customer(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert await refused(live, about(late)) == (401, "key_expired")


async def test_a_key_for_other_work_begins_nothing(live: Rig) -> None:
    images = await live.customer(workloads=[Workload.TEXT_TO_IMAGE])
    assert await refused(live, about(images)) == (403, "insufficient_scope")
    narrow = await live.customer(models=frozenset({"noop"}))
    assert await refused(live, about(narrow, "&pipeline=other")) == (403, "insufficient_scope")
    assert (await live.ask(AUTH, about(narrow, "&pipeline=noop"))).status_code == 200


async def test_a_key_bound_to_addresses_is_valid_at_tollgate_alone(live: Rig) -> None:
    customer = await live.customer(cidrs=("10.0.0.0/8",))
    assert await refused(live, about(customer)) == (403, "address_not_allowed")


async def test_a_key_of_web_pages_publishes_through_tollgate_alone(live: Rig) -> None:
    """Hazard: a key from a page's source that publishes by RTMP, where no browser says which page it is."""
    customer = await live.customer(origins=("https://app.example",))
    assert await refused(live, about(customer)) == (403, "origin_not_allowed")


async def test_a_key_of_streams_begins_no_other(live: Rig) -> None:
    """Hazard: ingest by RTMP, which no route of Tollgate sees, under a name that the key is not for."""
    customer = await live.customer(streams=("cam",))
    assert await refused(live, about(customer, name="door")) == (403, "stream_not_allowed")
    assert await refused(live, question("", customer.key)) == (403, "stream_not_allowed"), "its id is no name of those"
    assert (await live.ask(AUTH, about(customer))).status_code == 200
    pushed = [f"rtmp://gateway/{customer.app}_{name}?key={customer.key}" for name in ("door", "cam")]
    assert [(await live.ask(PUSH, {"url": url})).status_code for url in pushed] == [403, 200]


async def test_a_stream_ends_once_its_key_is_not_for_it_any_more(live: Rig) -> None:
    customer = await live.customer(streams=("cam",))
    stream = (await live.ask(AUTH, about(customer))).json()["stream_id"]
    keys = ApiKeys(live.ledger_view.store.redis, None)
    assert stream not in (await live.ask("/webhooks/live/heartbeat", {"ids": [stream]})).text
    await keys.change(key_id(customer), streams=("door",))
    assert stream in (await live.ask("/webhooks/live/heartbeat", {"ids": [stream]})).text


async def test_no_balance_begins_nothing(live: Rig) -> None:
    customer = await live.customer(grant=0)
    assert await refused(live, about(customer)) == (402, "insufficient_balance")
    assert await live.publish(customer) == 403
    assert live.gateway.live == []


async def test_one_stream_too_many_does_not_begin(live: Rig) -> None:
    customer = await live.customer()
    assert (await live.ask(AUTH, about(customer))).status_code == 200
    assert await refused(live, about(customer, name="second")) == (429, "concurrency_limited")


async def test_another_apps_name_and_anybodys_name_begin_nothing(live: Rig) -> None:
    """Who publishes under the name of a stream that runs takes its place at the gateway."""
    customer = await live.customer()
    own = f"{customer.app}_"
    for name in ("app_aaaaaaaaaaaaaaaa_cam", "cam", own, own + "a/b", own + "a b", own + "x" * 200):
        assert await refused(live, question(f"key={customer.key}", name)) == (403, "invalid_parameter")


async def test_what_no_response_takes_back_begins_nothing(live: Rig) -> None:
    customer = await live.customer()
    for parameter in ("orchestrator=https://mine", "rtmpOutput=rtmp://elsewhere"):
        assert await refused(live, about(customer, f"&{parameter}")) == (403, "invalid_parameter")


async def test_who_does_not_know_the_secret_is_refused(live: Rig) -> None:
    body: Any = {"url": "", "ids": []}

    async def code(path: str, **headers: str) -> str:
        response = await live.ask(path, body, headers={name.replace("_", "-"): text for name, text in headers.items()})
        return str(response.json().get("code"))

    for path in (AUTH, PUSH, "/webhooks/live/heartbeat"):
        assert await code(path) == await code(path, x_api_key=SECRET + "x") == "missing_credentials"
        assert await code(path, authorization="Bearer x") == await code(path + "?secret=") == "missing_credentials"
        assert await code(f"{path}?secret={SECRET[:-1]}") == "missing_credentials"
        assert await code(path, x_api_key=SECRET) != "missing_credentials"
        assert await code(path, authorization=SECRET) != "missing_credentials"
        assert await code(f"{path}?secret={SECRET}") != "missing_credentials"


async def test_without_a_secret_no_webhook_is_served(ledger_view: LedgerView) -> None:
    async with rig(ledger_view, settings_of(secret=None)) as closed:
        assert (await closed.ask(AUTH, question(""))).status_code == 404


async def test_a_body_no_gateway_sends_is_400(live: Rig) -> None:
    bodies: list[object] = [[], "x", {"stream": 1}, {"query_params": None}]
    for body in bodies:
        assert (await live.ask(AUTH, body)).status_code == 400


async def test_a_flood_is_cut_off(live: Rig) -> None:
    response = await live.ask("/webhooks/live/heartbeat", {"ids": ["x" * 1024] * 1024})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


async def test_what_was_pushed_through_tollgate_is_its_owners(live: Rig) -> None:
    customer = await live.customer()
    manifest = f"{customer.app}_movie"
    pushed = await live.ask(PUSH, {"url": f"http://gw:9935/live/{manifest}/0.ts"})
    assert (pushed.status_code, pushed.content) == (200, b""), "its profiles are those of the push"
    read = await live.ask(PUSH, {"url": f"/recordings/{manifest}/index.m3u8"})
    assert (read.status_code, read.json()) == (200, {"manifestID": manifest})
    for url in ("http://gw/live/movie/0.ts", "http://gw/live/app_aaaaaaaaaaaaaaaa_movie/0.ts", "/recordings/x/y.ts"):
        assert (await live.ask(PUSH, {"url": url})).status_code in {401, 403}


@pytest.mark.parametrize("url", ["http://[", "rtmp://[::1/live/show", "http://gw\u2100/live/show/0.ts"])
async def test_a_url_with_a_host_that_is_none_is_refused(live: Rig, url: str) -> None:
    assert await refused(live, {"url": url}, path=PUSH) == (403, "invalid_parameter")


async def test_rtmp_transcoding_has_its_plans_profiles(live: Rig) -> None:
    customer = await live.customer("studio")
    response = await live.ask(PUSH, {"url": f"rtmp://gw/live/{customer.key}"})
    assert response.json()["manifestID"] == f"{customer.app}_{key_id(customer)}"
    assert [each["name"] for each in response.json()["profiles"]] == ["720p"]
    named = await live.ask(PUSH, {"url": f"rtmp://gw/live/show?key={customer.key}"})
    assert named.json()["manifestID"] == f"{customer.app}_show"
    assert (await live.ask(PUSH, {"url": "rtmp://gw/live/show"})).status_code == 401


async def test_rtmp_transcoding_is_refused_until_it_is_wanted(ledger_view: LedgerView) -> None:
    async with rig(ledger_view, settings_of()) as plain:
        customer = await plain.customer()
        assert (await plain.ask(PUSH, {"url": f"rtmp://gw/live/{customer.key}"})).status_code == 403
