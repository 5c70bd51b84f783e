"""Recognisable secrets in every place that takes text, sent to every route: those of the schema, and all others."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import httpx

from tests.api.test_every_route import operations
from tests.support.builder import API_KEY, TOKEN, TOKEN_EXCHANGE, BuilderApp
from tests.support.deployment import Deployment

LONGER = 9
"""Factor by which a secret is too long for every field of a body, so that no record is named by it."""
OURS = ("tgk_", "tgs_", "ey")
"""How secrets begin that callers have of us: a log knows them where ids belong, in paths of ours that may be refused
before the id is looked up. Others have no such mark."""
FIELDS = ("grant_type", "scope", "subject_token", "subject_token_type", "token", "resource", "client_secret")


def canary(name: str) -> str:
    """Return a secret that stands out, long enough for whatever wants a long one."""
    return f"canary-{name}-{sha256(name.encode()).hexdigest()}"


@dataclass
class Drive:
    """Sends secrets everywhere, and keeps what must not repeat them."""

    deployment: Deployment
    app: BuilderApp
    ids: Mapping[str, str]
    secrets: dict[str, str] = field(repr=False)
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    """Responses, by what was sent where."""
    issued: dict[str, str] = field(default_factory=dict, repr=False)
    """Secrets that responses showed, as the only ones that may."""
    requests: int = 0

    async def send(self, place: str, method: str, url: str, **how: Any) -> httpx.Response:
        """Send a request, keep its response; a key or token that it issues is a secret from then on."""
        response = await self.app.http.request(method, url, **how)
        self.requests += 1
        text = response.text
        if response.status_code < 300 and "json" in response.headers.get("content-type", ""):
            shown = response.json()
            for name in ("key", "access_token", "secret"):
                if isinstance(shown, dict) and isinstance(shown.get(name), str):
                    self.issued[f"{name} of {place}"] = shown.pop(name)
            text = json.dumps(shown)
        self.texts[f"{place}, response {response.status_code}"] = f"{text}\n{response.headers}"
        return response

    async def everywhere(self, schema: dict[str, Any]) -> None:
        """Send every secret to every place of every route, and a good request to each."""
        for method, path, operation in operations(schema):
            good = path.format(**self.ids)
            for name, secret in self.secrets.items():
                place = f"{name} in {method} {path}"
                for target in _in_path(path, self.ids, secret) if secret.startswith(OURS) else ():
                    await self.send(place, method, target, auth=self.app.basic)
                query = {each["name"]: secret for each in operation.get("parameters", ()) if each["in"] == "query"}
                sent = dict.fromkeys(_members(schema, operation), secret * LONGER)
                await self.send(place, method, good, params={**query, "key": secret}, json=sent, auth=self.app.basic)
                if sent:
                    await self.send(f"{place}, broken", method, good, content=f'{{"a": {secret}', auth=self.app.basic)
            if method == "GET":
                await self.send(f"good {method} {path}", method, good, auth=self.app.basic)
        await self.send("good key", "POST", f"{self.app.path}/users/good/keys", json={}, auth=self.app.basic)
        await self.send("good token", "POST", f"{self.app.path}/users/good/token", json={}, auth=self.app.basic)
        await self._elsewhere()

    async def _elsewhere(self) -> None:
        """Send every secret to the issuer, the data path and the private listener."""
        for name, secret in self.secrets.items():
            for path in (TOKEN, f"{TOKEN}/revocation", f"{TOKEN}/introspection", f"{self.app.path}/oidc/token"):
                for each in FIELDS:
                    form = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": API_KEY, each: f"{secret}."}
                    await self.send(f"{name} as {each} to {path}", "POST", path, data=form, auth=self.app.basic)
                for headers in _wrong_credentials(secret):
                    await self.send(f"{name} as credential to {path}", "POST", path, data={}, headers=headers)
            for headers in _wrong_credentials(secret):
                await self.send(f"{name} as credential", "GET", f"{self.app.path}/users", headers=headers)
                place, query = f"{name} to the data path", {"key": secret, "token": secret}
                await self.send(place, "POST", "/text-to-image", params=query, json={"model_id": 1}, headers=headers)
                await self.send(place, "GET", f"/{quote(secret)}", headers=headers)
            asked = {"url": f"rtmp://host/app_name?key={secret}.", "stream": "s", "query_params": f"key={secret}."}
            for webhook in ("/webhooks/auth", "/webhooks/live/auth", "/webhooks/live/heartbeat"):
                for params in ({}, {"secret": self.secrets["webhook secret"]}, {"secret": f"{secret}."}):
                    url = f"{self.deployment.private}{webhook}"
                    await self.send(f"{name} to {webhook}", "POST", url, params=params, json=asked)

    async def commands(self) -> None:
        """Run commands, with good arguments, and with a secret where an id belongs."""
        app = ("--app", self.app.client_id)
        lines: list[tuple[str, ...]] = [
            ("check", "--json"),
            ("keys", "list", *app, "--json"),
            ("audit", "list", "--json"),
            ("history", "status"),
        ]
        secret = self.secrets["API key"]
        lines += [("keys", "revoke", secret), ("usage", "--app", secret)]
        for line, printed in zip(
            lines, await asyncio.gather(*(self.deployment.cli(*each) for each in lines)), strict=True
        ):
            self.texts[f"tollgate {line[0]} {line[1]}"] = printed[1] + printed[2]


def _in_path(path: str, ids: Mapping[str, str], secret: str) -> Iterator[str]:
    for name in ids:
        if f"{{{name}}}" in path:
            yield path.format(**{**ids, name: quote(secret, safe="")})


def _members(schema: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    """Return the members that a route's body may have."""
    if "requestBody" not in operation:
        return []
    content = operation["requestBody"]["content"]["application/json"]["schema"]
    named = str(content).rpartition("#/components/schemas/")[2].partition("'")[0]
    return list(schema["components"]["schemas"][named]["properties"])


def _wrong_credentials(secret: str) -> list[dict[str, str]]:
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    pair = b64encode(f"{wrong}:{wrong}".encode()).decode()
    return [{"authorization": f"Bearer {wrong}"}, {"authorization": f"Basic {pair}"}, {"x-api-key": wrong}]
