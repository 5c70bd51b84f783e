"""Hazards: secrets that may be guessed for ever, and a throttle that locks out whoever knows the right one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.builder import API_KEY, TOKEN, TOKEN_EXCHANGE, BuilderApp, builder_app
from tests.support.deployment import deployed

pytestmark = pytest.mark.ci


WRONG = "tgs_" + "0" * 49


@pytest.fixture
async def throttled(tmp_path: Path) -> AsyncIterator[BuilderApp]:
    """Run one worker that takes three failures a minute, and believes a proxy on this machine."""
    config = {
        "auth": {"failures_per_minute": 3},
        "control": {"token_requests_per_minute": 40},
        "edge": {"trusted_proxies": ["127.0.0.1"]},
    }
    async with (
        deployed(tmp_path, config) as deployment,
        httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as http,
    ):
        yield await builder_app(deployment, http)


async def attempt(app: BuilderApp, address: str, secret: str, client_id: str | None = None) -> int:
    response = await app.http.post(
        TOKEN,
        data={"grant_type": "client_credentials"},
        auth=httpx.BasicAuth(client_id or app.client_id, secret),
        headers={"x-forwarded-for": address},
    )
    return response.status_code


async def test_failures_are_counted_by_address_and_by_client(throttled: BuilderApp) -> None:
    app = throttled
    ids = [f"app_{letter * 16}" for letter in "abcd"]
    assert [await attempt(app, "192.0.2.1", WRONG, each) for each in ids] == [401, 401, 401, 429], "one address"
    addresses = [f"198.51.100.{number}" for number in range(4)]
    assert [await attempt(app, each, WRONG) for each in addresses] == [401, 401, 401, 429], "one client"
    assert await attempt(app, "192.0.2.1", app.secret) == 200, "whoever knows the secret is let in"
    assert await attempt(app, "198.51.100.9", app.secret) == 200
    assert await attempt(app, "203.0.113.1", WRONG, "app_eeeeeeeeeeeeeeee") == 401, "and others are not counted"


@pytest.mark.slow
async def test_guesses_by_other_ways_count_too(throttled: BuilderApp) -> None:
    app = throttled
    headers = {"x-forwarded-for": "192.0.2.7"}
    exchange = {"grant_type": TOKEN_EXCHANGE, "subject_token": "tgk_none", "subject_token_type": API_KEY}
    assert (await app.http.post(TOKEN, data=exchange, headers=headers)).status_code == 400
    basic = httpx.BasicAuth("app_aaaaaaaaaaaaaaaa", WRONG)
    users = f"{app.path}/users"
    assert (await app.http.get(users, headers=headers, auth=basic)).status_code == 401
    assert (await app.http.get(users, headers={**headers, "authorization": "Bearer a.b.c"})).status_code == 401
    response = await app.http.get(users, headers={**headers, "x-api-key": "tgk_none"})
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert int(response.headers["retry-after"]) >= 1


async def test_the_issuer_has_a_rate_of_its_own(throttled: BuilderApp) -> None:
    app = throttled
    headers = {"x-forwarded-for": "192.0.2.8"}
    statuses = [(await app.http.get("/api/v1/oidc/jwks", headers=headers)).status_code for _ in range(41)]
    assert (statuses[:40], statuses[40]) == ([200] * 40, 429)
    assert (await app.http.get("/api/v1/openapi.json", headers=headers)).status_code == 200
    assert (await app.http.get("/.well-known/openid-configuration", headers=headers)).status_code == 200
