"""Hazard: a secret that someone sent in the wrong place, and that a log, a metric or an error repeats."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.builder import API_KEY, TOKEN, TOKEN_EXCHANGE, BuilderApp, bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
CANARY = "tgk_canarycanarycana_Sing0Sing0Sing0Sing0Sing0Sing0Sing0Sing000000"


async def test_secrets_are_in_no_error_log_line_metric_or_schema(app: BuilderApp, running: Deployment) -> None:
    user = await app.user("ann")
    key = (await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()["key"]
    admin, token = await app.token(), await app.user_token(user)
    secrets = (CANARY, app.secret, key, admin, token)
    found: list[httpx.Response] = []
    for secret in secrets:
        wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
        headers = bearer(wrong)
        sent = {"external_id": secret * 9, "email": secret, "status": secret, "scope": secret, "expires_at": secret}
        found += [
            await app.http.post(f"{app.path}/users", json=sent, auth=app.basic),
            await app.http.post(f"{app.path}/users", json=[secret], auth=app.basic),
            await app.http.post(f"{app.path}/users", content=f'{{"a": {secret}', auth=app.basic),
            await app.http.post(f"{app.path}/users/{user}/token", json=sent, auth=app.basic),
            await app.http.post(f"{app.path}/users/{user}/keys", json=sent | {"cidrs": [secret]}, auth=app.basic),
            await app.http.get(f"{app.path}/usage", params={"startDate": secret, "userId": secret}, auth=app.basic),
            await app.http.get(f"{app.path}/users/{secret}", headers=headers),
            await app.http.get(f"{app.path}/users", auth=httpx.BasicAuth(app.client_id, wrong)),
            await app.http.post(TOKEN, data={"grant_type": secret}, headers=headers),
            await app.http.post(TOKEN, data={"grant_type": "client_credentials", "scope": secret}, auth=app.basic),
            await app.http.post(
                TOKEN, data={"grant_type": TOKEN_EXCHANGE, "subject_token": wrong, "subject_token_type": API_KEY}
            ),
            await app.http.post(
                TOKEN, data={"grant_type": TOKEN_EXCHANGE, "subject_token": wrong, "subject_token_type": secret}
            ),
            await app.http.post("/api/v1/oidc/token/introspection", data={"token": wrong}, auth=app.basic),
        ]
    assert {response.status_code for response in found} == {200, 400, 401}
    texts = [response.text for response in found]
    texts.append((await app.http.get("/api/v1/openapi.json")).text)
    texts.append((await app.http.get(f"{running.private}/metrics")).text)
    texts.append(json.dumps(running.lines()))
    texts.append(running.log.read_text())
    for secret in secrets:
        assert all(secret[-40:-1] not in text for text in texts)
    assert "Traceback" not in running.log.read_text()
