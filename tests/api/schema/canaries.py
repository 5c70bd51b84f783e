"""Recognisable secrets in every place that takes text, sent to every route: those of the schema, and all others."""

from __future__ import annotations

import asyncio
import itertools
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
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
OURS = ("tgk_", "tgs_", "tgd_", "tgi_", "tgo_", "ey")
"""How secrets begin that callers have of us: a log knows them where ids belong, in paths of ours that may be refused
before the id is looked up. Others have no such mark."""
FIELDS = ("grant_type", "scope", "subject_token", "subject_token_type", "token", "resource", "client_secret")

WALLETS = ("/credits", "/credits/grant", "/credits/debit")
"""Routes whose parameter `user` takes any name that an issuer may have given a user, and so a secret without a mark."""
SHOWN = ("key", "access_token", "client_secret", "code", "session", "token", "secret")
"""Members of responses that show a new secret."""


@dataclass(frozen=True, slots=True)
class _Route:
    """A route, the members that its body may have, and its path with the origin."""

    method: str
    path: str
    operation: dict[str, Any]
    members: list[str]
    target: str


def canary(name: str) -> str:
    """Return a secret that stands out, long enough for whatever wants a long one."""
    return f"canary-{name}-{sha256(name.encode()).hexdigest()}"


@dataclass
class Drive:
    """Sends secrets everywhere, and keeps what must not repeat them."""

    deployment: Deployment
    app: BuilderApp
    secrets: dict[str, str] = field(repr=False)
    ids: dict[str, str] = field(default_factory=dict)
    """Values of path parameters."""
    callers: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    """Headers of those who call the builder API, by their names; the first is the strongest."""
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    """Responses, by what was sent where."""
    issued: dict[str, str] = field(default_factory=dict, repr=False)
    """Secrets that responses showed, as the only ones that may."""
    requests: int = 0

    async def send(self, place: str, method: str, url: str, **how: Any) -> int:
        """Send a request, keep its response, return its status; a key or token that it issues is a secret, too."""
        parts, complete = list[str](), False
        async with self.app.http.stream(method, url, **how) as response:
            with suppress(httpx.RemoteProtocolError):  # an export is cut off where the history is away
                async for part in response.aiter_text():
                    parts.append(part)
                complete = True
        self.requests += 1
        text = "".join(parts)
        if response.status_code < 300 and complete and text and "json" in response.headers.get("content-type", ""):
            shown = json.loads(text)
            for name in SHOWN:
                if isinstance(shown, dict) and isinstance(shown.get(name), str):
                    self.issued[f"{name} of {place}"] = shown.pop(name)
            text = json.dumps(shown)
        self.texts[f"{place}, response {response.status_code}"] = f"{text}\n{response.headers}"
        return response.status_code

    async def everywhere(
        self,
        schema: dict[str, Any],
        callers: Mapping[str, dict[str, str]],
        origin: str = "",
        chosen: Sequence[str] = (),
    ) -> None:
        """Send secrets to every place of every route, and a good request to each that reads.

        `callers` are headers by the name of the caller: the first sends each secret, or each that is chosen; the others
        send all of them, one after the other.
        """
        (strongest, headers), *others = callers.items()
        for method, path, operation in operations(schema):
            route = _Route(method, path, operation, _members(schema, operation), f"{origin}{path}")
            for name in chosen or self.secrets:
                await self._to_places(route, f"{name} by {strongest}", [self.secrets[name]], headers)
            for caller, theirs in others:
                await self._to_places(route, f"secrets by {caller}", self._rotated(), theirs)
            if method == "GET":
                for caller, theirs in callers.items():
                    await self.send(f"good {method} {path} by {caller}", method, self._good(route), headers=theirs)

    def _rotated(self) -> list[str]:
        """Return all secrets, each time with another one in front."""
        secrets = list(self.secrets.values())
        return secrets[(begin := self.requests % len(secrets)) :] + secrets[:begin]

    def _good(self, route: _Route) -> str:
        return route.target.format(**self.ids) + ("?period=2026-11" if route.path.endswith("/statement") else "")

    async def _to_places(self, route: _Route, who: str, secrets: list[str], headers: dict[str, str]) -> None:
        """Send secrets to a route: one in its path, and one after the other in its parameters and its body."""
        place, secret = f"{who} in {route.method} {route.path}", itertools.cycle(secrets)
        ours = [each for each in secrets if each.startswith(OURS)][:1]
        for target in _in_path(route.target, self.ids, ours[0]) if ours else ():
            await self.send(place, route.method, target, headers=headers)
        good, named = route.target.format(**self.ids), route.operation.get("parameters", ())
        query = {each["name"]: next(secret) for each in named if each["in"] == "query"}
        if route.path.endswith(WALLETS) and not query["user"].startswith(OURS):
            del query["user"]
        body = {member: next(secret) * LONGER for member in route.members}
        params = {**query, "key": next(secret)}
        await self.send(place, route.method, good, params=params, json=body, headers=headers)
        if body:
            broken = f'{{"a": {" ".join(secrets)}'
            await self.send(f"{place}, broken", route.method, good, content=broken, headers=headers)

    async def good_keys(self) -> None:
        """Make a key and a token of a user, which are secrets, too."""
        await self.send("good key", "POST", f"{self.app.path}/users/good/keys", json={}, auth=self.app.basic)
        await self.send("good token", "POST", f"{self.app.path}/users/good/token", json={}, auth=self.app.basic)

    async def elsewhere(self) -> None:
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
