"""Two apps that are alike, every credential that one has, and every way to name what is the other's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from proxy.control.developers.records import MemberRole
from proxy.identity.token_issuer import APP_SCOPES, USER_SCOPES
from tests.api.test_every_route import body_of, operations
from tests.api.waiting_webhook import paused_webhook, waiting_for
from tests.sign_in.operator import Operator
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment
from tests.support.wallet import AUTH, Wallet

STRONGEST = ("admin", "Basic", "inference of its user")
"""Credentials of those who may use parameters; what others may not do, no parameter changes."""
ROLES: tuple[MemberRole, ...] = ("owner", "developer", "billing", "viewer")
CHOSEN = ("client_id", "user", "key_id", "session_id", "webhook_id", "delivery_id", "request_id", "link_id")
"""Path parameters that name something of an app."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, and what of the other app it names."""

    method: str
    path: str
    params: dict[str, str]
    body: Any
    credential: str
    headers: dict[str, str] = field(repr=False)
    names_app: bool


@dataclass(slots=True)
class Tenant:
    """An app with two users, one of whom nobody names, a key, usage, members, and everything that can authenticate."""

    app: BuilderApp
    ids: dict[str, str]
    """Values of path parameters."""
    names: dict[str, str]
    """Ids of its records that a request may name in a parameter, by what they are."""
    marks: list[str]
    """Texts that stand in its records alone and that no request of another app names."""
    credentials: dict[str, dict[str, str]] = field(repr=False)

    async def everything(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return all that its reading routes return."""
        found: dict[str, Any] = {}
        for method, path, operation in operations(schema):
            if method == "GET":
                target = path.format(**self.ids)
                headers = self.credentials[_reader(path)]
                response = await self.app.http.get(target, headers=headers)
                assert response.status_code == 200, f"{target} {operation['x-scopes']}: {response.text}"
                if not response.headers["content-type"].startswith("application/json"):
                    found[path] = response.text
                    continue
                found[path] = response.json()
                for line in found[path].get("lines", ()):
                    line.pop("number", None)  # a line of the audit log gets it once the archiver chains it
        return found

    def attempts_on(self, victim: Tenant, schema: dict[str, Any]) -> Iterator[Attempt]:
        """Yield every request with every credential of this app that names something of the other."""
        for method, path, operation in operations(schema):
            targets: list[tuple[str, dict[str, str], bool]] = [
                (self._target(path, victim, chosen), {}, "client_id" in chosen) for chosen in _choices(path)
            ]
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query" and _takes_names(parameter["schema"]):
                    own = path.format(**self.ids)
                    targets += [(own, {parameter["name"]: value}, False) for value in victim.names.values()]
            for target, params, names_app in targets:
                for name in self.credentials if not params else STRONGEST:
                    headers = self.credentials[name]
                    body = body_of(schema, operation)
                    yield Attempt(method, target, params, body, name, headers, names_app)

    def _target(self, path: str, victim: Tenant, chosen: tuple[str, ...]) -> str:
        return path.format(**{**self.ids, **{name: victim.ids[name] for name in chosen}})


def _reader(path: str) -> str:
    """Return the credential that may read at this path."""
    if path.startswith(AUTH):
        return "session of its owner"
    return "admin" if "{client_id}" in path else "inference of its user"


def _takes_names(schema: dict[str, Any]) -> bool:
    """Return True for a parameter of free text, which is neither a number, a moment nor one of some words."""
    kinds = schema.get("anyOf", [schema])
    return any(each.get("type") == "string" and "format" not in each and "enum" not in each for each in kinds)


def _choices(path: str) -> list[tuple[str, ...]]:
    """Return every choice of path parameters that name the other app's records, at least one."""
    named = [name for name in CHOSEN if f"{{{name}}}" in path]
    return [each for count in range(1, len(named) + 1) for each in itertools.combinations(named, count)]


async def tenant(deployment: Deployment, http: httpx.AsyncClient, name: str) -> Tenant:
    """Create an app; both have users of the same external ids."""
    app = await builder_app(deployment, http)
    user = await app.user("ann", email=f"ann@{name}.example")
    unnamed = await app.user(f"hidden-{name}", email=f"hidden@{name}.example")
    key = (await http.post(f"{app.path}/users/{user}/keys", json={"name": f"key of {name}"}, auth=app.basic)).json()
    await http.post(f"{app.path}/users/{unnamed}/keys", json={"name": f"hidden key of {name}"}, auth=app.basic)
    of_user = {scope: bearer(await app.user_token(user, scope)) for scope in sorted(USER_SCOPES)}
    image = {"model_id": f"model-of-{name}", "prompt": "p"}
    sent = await http.post("/text-to-image", json=image, headers=bearer(key["key"]))
    assert sent.status_code == 200, sent.text
    await deployment.settled(1, app.client_id)
    amount = str(10**24 + int.from_bytes(name.encode()[:6]))
    code, _, err = await deployment.cli("credits", "grant", "--app", app.client_id, amount)
    assert code == 0, err
    credentials = {scope: bearer(await app.token(scope)) for scope in sorted(APP_SCOPES)}
    credentials |= {f"{scope} of its user": headers for scope, headers in of_user.items()}
    credentials |= {
        "Basic": {"authorization": basic(app)},
        "key of its user": bearer(key["key"]),
        "key of the app": bearer(await deployment.key(app.client_id)),
    }
    members = {role: await signed_in_member(deployment, app, role) for role in ROLES}
    for role, member in members.items():
        credentials |= {f"{name} of its {role}": bearer(member[name]) for name in ("session", "token")}
    owner = members["owner"]
    url = f"https://hooks-of-{name}.invalid/"
    webhook = await paused_webhook(app, url)
    return Tenant(
        app,
        ids={
            "client_id": app.client_id,
            "user": user,
            "key_id": key["key_id"],
            "period": "2026-11",
            "session_id": owner["session_id"],
            "webhook_id": webhook["webhook_id"],
            "delivery_id": await waiting_for(deployment, webhook["webhook_id"]),
            "request_id": sent.headers["x-request-id"],
            "link_id": await app.portal_link(unnamed),
        },
        names={
            "app": app.client_id,
            "user": user,
            "external id": f"hidden-{name}",
            "key": key["key_id"],
            "webhook": webhook["webhook_id"],
            "request": sent.headers["x-request-id"],
        },
        marks=[
            f"ann@{name}.example",
            f"hidden@{name}.example",
            unnamed,
            f"key of {name}",
            f"model-of-{name}",
            amount,
            url,
            owner["address"],
        ],
        credentials=credentials,
    )


async def signed_in_member(deployment: Deployment, app: BuilderApp, role: MemberRole) -> dict[str, Any]:
    """Return what a new developer with this role in the app gets when it signs in."""
    wallet, operator = Wallet(), Operator(deployment)
    await operator.member(app.client_id, await operator.add(wallet), role)
    response = await wallet.sign_in(app.http)
    assert response.status_code == 200, response.text
    return dict(response.json())


def basic(app: BuilderApp) -> str:
    """Return the header of Basic authentication."""
    request = next(app.basic.auth_flow(httpx.Request("GET", "http://localhost/")))
    return request.headers["authorization"]
