"""Tollgate with an identity provider beside it, which one app has registered and the configuration names, too."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from middlewares.auth.keys import pepper_of
from middlewares.auth.records import AppIssuer
from proxy.control.apps import Apps
from proxy.identity.issuer_keys import FOLDER, KeyFiles
from tests.auth.issuer import AUDIENCE, KeySetServer, claims, jwk, key_set, rsa_key, token
from tests.support.builder import TOKEN, TOKEN_EXCHANGE, BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, deployed

JWT = "urn:ietf:params:oauth:token-type:jwt"
CHAT = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
FIRST = key_set(jwk(rsa_key(), kid="k1", alg="RS256"))


@dataclass(frozen=True, slots=True)
class Scene:
    """A deployment of one worker, its identity provider, and the app that registered it."""

    running: Deployment
    provider: KeySetServer
    app: BuilderApp
    user: str

    def token(self, subject: str = "", *, header: Mapping[str, Any] = MappingProxyType({}), **changes: Any) -> bytes:
        """Return a token of the provider for a user of the app, by default for `user`; no two are the same."""
        good = {"iss": self.provider.origin, "sub": subject or self.user, "org": self.app.client_id}
        return token(claims(**{**good, "jti": secrets.token_hex(8), **changes}), **header)

    async def work(self, credential: bytes) -> httpx.Response:
        """Send a request on the data path."""
        return await self.app.http.post("/llm", json=CHAT, headers=_headers(credential))

    async def own_usage(self, credential: bytes) -> httpx.Response:
        """Send a request of a user to the control plane."""
        return await self.app.http.get("/api/v1/user/usage", headers=_headers(credential))

    async def exchange(self, credential: bytes, path: str = TOKEN, **fields: str) -> httpx.Response:
        """Exchange a token at the token endpoint, by the app's secret."""
        fields = {"subject_token": credential.decode(), "subject_token_type": JWT, **fields}
        return await self.app.form(path, grant_type=TOKEN_EXCHANGE, **fields)

    async def register(self, app: BuilderApp, **changes: Any) -> None:
        """Register the provider for an app."""
        async with self.running.store() as store:
            issuer = replace(AppIssuer(self.provider.origin, AUDIENCE), **changes)
            await Apps(store.redis, pepper_of(self.running.settings.auth)).set_issuer(app.client_id, issuer)

    @property
    def key_files(self) -> KeyFiles:
        """Return the keys of Tollgate's own issuer."""
        return KeyFiles(Path(self.running.settings.data_dir) / FOLDER)


@asynccontextmanager
async def scene_in(folder: Path, **issuer: Any) -> AsyncIterator[Scene]:
    """Run it. `issuer` is laid over the configuration of the provider."""
    async with KeySetServer(FIRST) as provider:
        provider.discoverable()
        configured = {"issuer": provider.origin, "audience": AUDIENCE, "app_claim": "org", **issuer}
        config = {
            "workers": 1,
            "control": {"requests_per_minute": 1_000_000, "token_requests_per_minute": 1_000_000},
            "auth": {
                "failures_per_minute": 1_000_000,
                "key_set_networks": ["127.0.0.0/8"],
                "issuers": [configured],
            },
        }
        async with (
            deployed(folder, config) as running,
            httpx.AsyncClient(base_url=running.public, timeout=30, trust_env=False) as http,
        ):
            app = await builder_app(running, http)
            scene = Scene(running, provider, app, await app.user("ann"))
            await scene.register(scene.app)
            yield scene


def _headers(credential: bytes) -> dict[str, str]:
    return bearer(credential.decode("latin-1"))
