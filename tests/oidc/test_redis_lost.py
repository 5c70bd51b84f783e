"""Hazard: Redis is away, and a token endpoint says that a secret is wrong, or waits for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.store.servers import RedisServer, binaries
from tests.support.builder import TOKEN, bearer, builder_app
from tests.support.deployment import deployed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["killed", "frozen"])
async def test_without_redis_it_is_503_soon_and_no_verdict(tmp_path: Path, kind: str) -> None:
    redis = RedisServer(binaries(tmp_path)[0], tmp_path / "redis", tcp=True)
    redis.start()
    try:
        async with (
            deployed(tmp_path, {"redis_url": redis.url, "store": {}}) as deployment,
            httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False, timeout=30) as http,
        ):
            app = await builder_app(deployment, http)
            user = await app.user("ann")
            admin = bearer(await app.token())
            if kind == "killed":
                redis.kill()
            else:
                redis.freeze()
            async with asyncio.timeout(60):
                found = [
                    await app.form(TOKEN, grant_type="client_credentials"),
                    await http.get(f"{app.path}/users", auth=app.basic),
                    await http.post(f"{app.path}/users/{user}/token", json={}, headers=admin),
                ]
            assert {(each.status_code, each.json()["code"]) for each in found} == {(503, "store_unavailable")}
            assert (await http.get("/api/v1/oidc/jwks")).status_code == 200
            if kind == "frozen":
                redis.thaw()
    finally:
        redis.kill()
