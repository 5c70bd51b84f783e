"""Hazards: forward-auth that lets in what the data path would refuse, or that is remembered past a revocation."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from config.workloads import Workload
from middlewares.auth.keys import pepper_of
from proxy.control.api_keys import ApiKeys
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")
VERIFY = "/api/v1/verify"


async def key_of(running: Deployment, app: BuilderApp, **narrowed: Any) -> tuple[str, str]:
    """Create a key of the app; return its id and text."""
    async with running.store() as store:
        record, text = await ApiKeys(store.redis, pepper_of(running.settings.auth)).create(app.client_id, **narrowed)
    return record.key_id, text


async def test_the_principal_is_in_the_headers(running: Deployment, app: BuilderApp) -> None:
    key_id, key = await key_of(running, app)
    response = await app.http.get(VERIFY, headers={"x-api-key": key})
    assert (response.status_code, response.content) == (200, b"")
    told = {name: value for name, value in response.headers.items() if name.startswith("tollgate-")}
    assert told == {
        "tollgate-app": app.client_id,
        "tollgate-user": "",
        "tollgate-key": key_id,
        "tollgate-plan": "unlimited",
        "tollgate-tier": "premium",
    }
    assert response.headers["cache-control"] == "no-store"
    user = await app.user("ann")
    response = await app.http.head(VERIFY, headers=bearer(await app.user_token(user)))
    assert (response.status_code, response.headers["tollgate-user"]) == (200, user)


async def test_bad_credentials_are_401_and_nothing_of_it_may_be_stored(app: BuilderApp) -> None:
    for headers in ({}, {"x-api-key": "tgk_no"}, {"authorization": "Basic eDp5"}, bearer("a.b.c")):
        response = await app.http.get(VERIFY, headers=headers)
        assert response.status_code == 401
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_revocation_counts_at_once(running: Deployment, app: BuilderApp) -> None:
    key_id, key = await key_of(running, app)
    assert (await app.http.get(VERIFY, headers=bearer(key))).status_code == 200
    async with running.store() as store:
        await ApiKeys(store.redis, None).revoke(key_id)

    async def refused() -> bool:
        return {(await app.http.get(VERIFY, headers=bearer(key))).status_code for _ in range(8)} == {401}

    for _ in range(100):
        if await refused():
            break
    assert await refused()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"x-original-uri": "/llm?x=1", "x-original-method": "POST"}, 200),
        ({"x-forwarded-uri": "/v1/chat/completions", "x-forwarded-method": "POST"}, 200),
        ({"x-original-uri": "/llm", "x-original-method": "DELETE"}, 403),
        ({"x-original-uri": "/text-to-image"}, 403),
        ({"x-original-uri": "/another/service"}, 403),
        ({"x-original-uri": "/%6clm"}, 403),
        ({"x-original-uri": "/llm", "x-forwarded-uri": "/text-to-image"}, 403),
        ({"x-original-uri": "/text-to-image", "x-forwarded-uri": "/llm"}, 403),
    ],
)
async def test_a_key_limited_to_workloads_covers_their_routes_alone(
    running: Deployment, app: BuilderApp, headers: dict[str, str], status: int
) -> None:
    _, key = await key_of(running, app, workloads=[Workload.LLM])
    assert (await app.http.get(VERIFY, headers=bearer(key) | headers)).status_code == status
    _, other = await key_of(running, app)
    assert (await app.http.get(VERIFY, headers=bearer(other) | headers)).status_code == 200


async def test_what_cannot_be_seen_here_is_refused(running: Deployment, app: BuilderApp) -> None:
    _, limited = await key_of(running, app, models=["m"])
    work = {"x-original-uri": "/llm", "x-original-method": "POST"}
    assert (await app.http.get(VERIFY, headers=bearer(limited) | work)).status_code == 403
    assert (await app.http.get(VERIFY, headers=bearer(limited) | {"x-original-uri": "/another"})).status_code == 200
    _, playback = await key_of(running, app, workloads=[Workload.PLAYBACK])
    sneaky = {"x-original-uri": "/stream/../llm"}
    assert (await app.http.get(VERIFY, headers=bearer(playback) | sneaky)).status_code == 403
    _, elsewhere = await key_of(running, app, cidrs=["192.0.2.0/24"])
    assert (await app.http.get(VERIFY, headers=bearer(elsewhere))).json()["code"] == "address_not_allowed"
    _, paged = await key_of(running, app, origins=["https://shop.example.com"])
    assert (await app.http.get(VERIFY, headers=bearer(paged))).json()["code"] == "origin_not_allowed"
    page = {"origin": "https://shop.example.com"}
    assert (await app.http.get(VERIFY, headers=bearer(paged) | page)).status_code == 200
    _, streaming = await key_of(running, app, streams=["cam"])
    update = {"x-original-uri": "/live/video-to-video/cam/update", "x-original-method": "POST"}
    assert (await app.http.get(VERIFY, headers=bearer(streaming) | update)).json()["code"] == "stream_not_allowed"
    assert (await app.http.get(VERIFY, headers=bearer(await app.token("read")))).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"x-original-uri": "/%6clm", "x-original-method": "POST"},
        {"x-original-uri": "/./llm", "x-original-method": "POST"},
        {"x-original-uri": "//llm", "x-original-method": "POST"},
        {"x-original-uri": "/%2e/llm", "x-original-method": "POST"},
        {"x-original-uri": "http://gateway/llm", "x-original-method": "POST"},
        {"x-original-uri": "/llm", "x-original-method": "POST", "x-forwarded-method": "GET"},
        {"x-original-uri": "/another", "x-forwarded-uri": "/llm"},
    ],
)
async def test_no_spelling_hides_work_from_a_key_limited_to_models(
    running: Deployment, app: BuilderApp, headers: dict[str, str]
) -> None:
    """Hazard: a path that a gateway decodes, or a header of the client's own, passes for a request that is no work."""
    _, limited = await key_of(running, app, models=["m"])
    response = await app.http.get(VERIFY, headers=bearer(limited) | headers)
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


async def test_counting_is_the_plans_own_and_asking_is_free(running: Deployment, http: httpx.AsyncClient) -> None:
    app = await builder_app(running, http, plan="free")
    _, key = await key_of(running, app)
    for _ in range(12):
        assert (await http.get(VERIFY, headers=bearer(key))).status_code == 200
    for number in range(10):
        response = await http.get(VERIFY, params={"count": "1"}, headers=bearer(key))
        assert response.status_code == 200, number
        assert "ratelimit" in response.headers
    refused = await http.get(VERIFY, params={"count": "1"}, headers=bearer(key))
    assert (refused.status_code, refused.json()["policy"]) == (429, "app-requests-per-minute")
    assert int(refused.headers["retry-after"]) > 0
    assert (await http.get("/v1/models", headers=bearer(key))).status_code == 429  # they are the same windows
    assert (await http.get(VERIFY, headers=bearer(key))).status_code == 200
    async with running.store() as store:
        keys = [name async for name in store.redis.scan_iter("tollgate:*:holds")]

        async def none_left() -> bool:
            return all([await store.redis.zcard(name) == 0 for name in keys])

        await eventually(none_left)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", VERIFY, 405),
        ("GET", f"{VERIFY}/", 404),
        ("GET", f"{VERIFY}/x", 404),
        ("GET", f"{VERIFY}?count=2", 400),
        ("GET", f"{VERIFY}?cuont=1", 400),
    ],
)
async def test_what_is_no_question_is_refused(http: httpx.AsyncClient, method: str, target: str, status: int) -> None:
    assert (await http.request(method, target)).status_code == status
