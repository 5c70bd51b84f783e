"""An app that calls Tollgate's own API, as its back end would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from middlewares.auth.keys import pepper_of
from proxy.control.apps import Apps
from tests.support.deployment import Deployment

TOKEN = "/api/v1/oidc/token"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
API_KEY = "urn:pymthouse:oauth:token-type:api_key"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def bearer(credential: str) -> dict[str, str]:
    """Return the header that presents a credential."""
    return {"authorization": f"Bearer {credential}"}


@dataclass(frozen=True, slots=True)
class BuilderApp:
    """An app with its secret, and a client of the public listener."""

    client_id: str
    secret: str = field(repr=False)
    http: httpx.AsyncClient

    @property
    def basic(self) -> httpx.BasicAuth:
        """Return the app's own authentication."""
        return httpx.BasicAuth(self.client_id, self.secret)

    @property
    def path(self) -> str:
        """Return where the app's routes begin."""
        return f"/api/v1/apps/{self.client_id}"

    async def form(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the client id and secret in it."""
        data = {"client_id": self.client_id, "client_secret": self.secret, **fields}
        return await self.http.post(path, data={name: value for name, value in data.items() if value})

    async def token(self, scope: str = "admin") -> str:
        """Return a token of the app."""
        response = await self.form(TOKEN, grant_type="client_credentials", scope=scope)
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def user(self, external_id: str, **members: Any) -> str:
        """Create a user; return its id."""
        response = await self.http.post(
            f"{self.path}/users", json={"external_id": external_id, **members}, auth=self.basic
        )
        assert response.status_code in (200, 201), response.text
        return str(response.json()["user_id"])

    async def portal_link(self, subject: str) -> str:
        """Create a link to a view of the portal; return its id."""
        response = await self.http.post(f"{self.path}/portal-links", json={"subject": subject}, auth=self.basic)
        assert response.status_code == 201, response.text
        return str(response.json()["link_id"])

    async def user_token(self, user: str, scope: str = "inference") -> str:
        """Return a token of a user."""
        response = await self.http.post(f"{self.path}/users/{user}/token", json={"scope": scope}, auth=self.basic)
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])


async def builder_app(deployment: Deployment, http: httpx.AsyncClient, plan: str = "unlimited") -> BuilderApp:
    """Create an app on a plan."""
    async with deployment.store() as store:
        app, secret = await Apps(store.redis, pepper_of(deployment.settings.auth)).create("test", plan)
    return BuilderApp(app.client_id, secret, http)
