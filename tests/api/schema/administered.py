"""The admin API over one app: ids of everything that the routes name, bodies that they take, and all that they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from middlewares.auth.records import Role
from tests.api.admin.attention import needs_attention
from tests.api.admin.conftest import ADMIN, operator_key
from tests.api.test_every_route import operations
from tests.support.builder import BuilderApp, bearer
from tests.support.deployment import Deployment
from tests.support.wallet import Wallet

VALUES: dict[str, Any] = {
    "name": "another",
    "plan": "free",
    "issuer": "https://login.example",
    "audience": "tollgate",
    "external_id": "another",
    "status": "suspended",
    "role": "viewer",
    "amount": "7",
    "reference": "a name of its own for each route",
    "user": None,
    "decision": "accept",
    "irreversible": True,
    "wallet": Wallet().address,
    "address": "https://orchestrator.example:8935",
    "url": "https://hooks.invalid/another",
    "before": "2020-01",
}
"""Members of bodies by name, such that what has them would be done."""
OF_MODEL = {"ChangedWebhook": {"status": "active"}}
"""Members of the body of one model alone, in their place."""
MOVES = ("status", "history_state", "verify", "verify_audit_log", "list_audit_lines")
"""Routes whose response changes without anybody's doing."""


@dataclass(frozen=True, slots=True)
class Administered:
    """An app as operators see it."""

    origin: str
    http: httpx.AsyncClient
    schema: dict[str, Any]
    ids: dict[str, str]
    """Values of path parameters."""
    operators: dict[Role, dict[str, str]] = field(repr=False)
    """Headers of the operator of each role."""
    values: dict[str, Any]
    """Members of bodies by name, those of this deployment among them."""

    def routes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield method, path and operation of every route."""
        yield from operations(self.schema)

    def body(self, operation: dict[str, Any]) -> dict[str, Any] | None:
        """Return a body that the route takes, and that asks for a change; None for a route without one."""
        if "requestBody" not in operation:
            return None
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        named = str(schema).rpartition("#/components/schemas/")[2].partition("'")[0]
        model = self.schema["components"]["schemas"][named]
        assert set(model.get("required", ())) <= self.values.keys(), f"a value for a new member of {named}"
        values = self.values | OF_MODEL.get(named, {})
        body = {name: values[name] for name in model["properties"] if name in values}
        return {**body, "reference": operation["operationId"]} if "reference" in body else body

    async def send(
        self, method: str, path: str, operation: dict[str, Any], headers: dict[str, str], **ids: str
    ) -> httpx.Response:
        """Send a request that is good but for who sends it; `ids` are in place of those of this app."""
        target = self.origin + path.format(**{**self.ids, **ids})
        params = {"period": "2026-11"} if path.endswith("/statement") else {}
        return await self.http.request(method, target, params=params, json=self.body(operation), headers=headers)

    async def everything(self) -> dict[str, Any]:
        """Return all that operators can read of the records, and the public keys of the issuer."""
        found = {"jwks": (await self.http.get("/api/v1/oidc/jwks")).json()}
        for method, path, operation in self.routes():
            if method == "GET" and _name(operation) not in MOVES:
                response = await self.send(method, path, operation, self.operators[Role.ADMIN])
                assert response.status_code == 200, f"{path}: {response.text}"
                found[path] = response.json()
                if path.endswith("/subject"):
                    found[path] = [line for line in found[path]["lines"] if line["kind"] != "audit"]
                elif path.endswith(("/events", "/attention")):
                    found[path] = await self._every_item(path)
        return found

    async def _every_item(self, path: str) -> list[dict[str, Any]]:
        """Return the items of all pages, sorted: the archiver moves them, and so their order and where a page ends."""
        target, items = self.origin + path.format(**self.ids), list[dict[str, Any]]()
        page: dict[str, Any] = {"next": "", "more": True}
        while page["more"]:
            params = {"after": page["next"]} if page["next"] else {}
            page = (await self.http.get(target, params=params, headers=self.operators[Role.ADMIN])).json()
            items += page["items"]
        return sorted(items, key=str)


def _name(operation: dict[str, Any]) -> str:
    return str(operation["operationId"]).partition("_api_v1_")[0]


async def administered(deployment: Deployment, app: BuilderApp, ids: Mapping[str, str]) -> Administered:
    """Return an app that has a member with one more record of each kind, and an operator of each role.

    `ids` name a user, a key, a webhook endpoint and a delivery to it.
    """
    http = app.http
    operators = {role: bearer(await operator_key(deployment, role)) for role in Role}
    admin, origin = operators[Role.ADMIN], deployment.private
    path = f"{origin}{ADMIN}/apps/{app.client_id}"
    invite = (await http.post(f"{path}/invites", json={"role": "viewer"}, headers=admin)).json()
    [member, *_] = (await http.get(f"{path}/members", headers=admin)).json()["items"]
    event = await needs_attention(deployment, app.client_id, amount=5)
    return Administered(
        origin=origin,
        http=http,
        schema=(await http.get(f"{origin}{ADMIN}/openapi.json")).json(),
        ids={
            "client_id": app.client_id,
            **{name: ids[name] for name in ("user", "key_id", "webhook_id", "delivery_id")},
            "invite_id": invite["invite_id"],
            "developer_id": member["developer_id"],
            "event_id": event.id,
            "request_id": event.id,
            "operator_id": (await operator_key(deployment, Role.VIEWER)).split("_")[1],
        },
        operators=operators,
        values=VALUES | {"gateway": deployment.gateway.url},
    )
