"""Authlib's client of OAuth 2, which none of us wrote, finds the issuer by discovery and gets on with it."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client

from tests.support.builder import API_KEY, TOKEN_EXCHANGE, BuilderApp

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_authlib_gets_revokes_and_inspects_tokens(app: BuilderApp, method: str) -> None:
    base = str(app.http.base_url).rstrip("/") + app.path
    metadata = (await app.http.get("/.well-known/openid-configuration")).json()
    assert method in metadata["token_endpoint_auth_methods_supported"]
    client: Any = AsyncOAuth2Client(
        app.client_id,
        app.secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope="admin",
        trust_env=False,
        verify=False,
    )
    async with client:
        token = await client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        assert (token["token_type"], token["scope"]) == ("Bearer", "admin")
        user = await client.post(f"{base}/users", json={"externalUserId": "ann"})
        assert user.status_code == 201
        key = await client.post(f"{base}/users/ann/keys", json={})
        exchanged = await client.fetch_token(
            metadata["token_endpoint"],
            grant_type=TOKEN_EXCHANGE,
            subject_token=key.json()["key"],
            subject_token_type=API_KEY,
            scope="inference",
        )
        assert exchanged["scope"] == "inference"
        found = await client.introspect_token(
            metadata["introspection_endpoint"], token=exchanged["access_token"], token_type_hint="access_token"
        )
        assert found.json()["sub"] == user.json()["user_id"]
        revoked = await client.revoke_token(metadata["revocation_endpoint"], token=exchanged["access_token"])
        assert revoked.status_code == 200
