"""Hazard: a rotation in which tokens are refused that are good, because some worker does not know their key."""

from __future__ import annotations

import asyncio
import json

import httpx
import jwt
import pytest

from tests.support.builder import BuilderApp, bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.slow
async def test_no_token_is_refused_from_before_a_rotation_to_after_it(app: BuilderApp, running: Deployment) -> None:
    user = await app.user("ann")
    tokens = [await app.user_token(user)]
    code, out, err = await running.cli("issuer", "rotate", "--lead", "10s", "--json")
    assert code == 0, err
    new = json.loads(out)["kid"]
    statuses: set[int] = set()

    async def use(token: str) -> None:
        """Send a request on a connection of its own, so that every worker is met."""
        async with httpx.AsyncClient(base_url=app.http.base_url, trust_env=False, verify=False) as client:
            response = await client.get(f"{app.path}/usage/balance", headers=bearer(token))
            statuses.add(response.status_code)  # 403: known, and without the scope

    async with asyncio.timeout(60):
        while jwt.get_unverified_header(tokens[-1])["kid"] != new:
            tokens.append(await app.user_token(user))
            await asyncio.gather(*(use(token) for token in (tokens[0], tokens[-1]) for _ in range(4)))
            await asyncio.sleep(0.1)
    assert len({jwt.get_unverified_header(token)["kid"] for token in tokens}) == 2
    assert statuses == {403}
    published = {key["kid"] for key in (await app.http.get("/api/v1/oidc/jwks")).json()["keys"]}
    assert {jwt.get_unverified_header(tokens[0])["kid"], new} <= published
