"""Each route of the admin API that changes something writes exactly one line of the audit log, whatever comes of it.

The routes are those of the application: a new one that writes none, or is sent nothing here, fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from middlewares.auth.records import Role
from proxy.api.audit.route import ACTION
from proxy.store.configured import redis_keys
from tests.api.admin.attention import needs_attention
from tests.api.admin.conftest import Operated
from tests.api.admin.test_records import call
from tests.api.admin.test_roles import UNKNOWN, application
from tests.api.waiting_webhook import paused_webhook, waiting_for
from tests.support.builder import BuilderApp
from tests.support.wallet import Wallet

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]
BODIES: dict[str, dict[str, Any]] = {
    "create_app": {"name": "Acme", "plan": "free"},
    "change_app": {"plan": "unlimited"},
    "set_app_issuer": {"issuer": "https://login.example", "audience": "tollgate"},
    "create_key": {"name": "k"},
    "change_key": {"name": "x"},
    "rotate_key": {"overlap_seconds": 60},
    "create_end_user": {"external_id": "bob"},
    "set_end_user_status": {"status": "suspended"},
    "create_operator": {"name": "Ann", "role": "viewer"},
    "add_developer": {"wallet": Wallet().address},
    "add_member": {"role": "viewer"},
    "create_invite": {"role": "viewer"},
    "grant_credits": {"amount": "5", "reference": "in"},
    "debit_credits": {"amount": "5", "reference": "out"},
    "resolve_attention": {"decision": "accept"},
    "erase_subject": {"user": None, "irreversible": True},
    "prune_history": {"before": "2020-01"},
    "forget_export_group": {"name": "warehouse"},
    "rotate_issuer": {"lead_seconds": 60},
    "block_orchestrator": {"address": "https://orch.example:8935"},
    "unblock_orchestrator": {"address": "https://orch.example:8935"},
    "create_webhook": {"url": "https://hooks.invalid/"},
    "change_webhook": {"description": "x"},
    "rotate_webhook": {"overlap_seconds": 60},
}
"""What routes take, by their names."""


def changes() -> list[APIRoute]:
    """Return the routes that change something; those that end a record come last."""
    found = [each for each in application().routes if isinstance(each, APIRoute) and each.methods != {"GET"}]
    return sorted(found, key=lambda each: (each.name == "erase_subject", each.methods == {"DELETE"}))


async def sent(
    operated: Operated, route: APIRoute, ids: dict[str, str], role: Role = Role.ADMIN, body: Any = None
) -> httpx.Response:
    """Send what a route takes, or this body, as an operator of this role."""
    url, headers = route.path.format(**ids), operated.headers(role)
    content = None if route.body_field is None else _body(operated, route) if body is None else body
    return await operated.http.request(min(route.methods or ()), url, headers=headers, json=content)


def _body(operated: Operated, route: APIRoute) -> Any:
    """Return what a route takes; which gateways there are is known of this deployment alone."""
    gateway = {"gateway": operated.deployment.gateway.url}
    return gateway if route.name.endswith("_gateway") else BODIES[route.name]


async def newest(operated: Operated) -> str:
    """Return the id of the last line."""
    [line] = (await call(operated, "GET", "/audit", params={"limit": 1}))["items"]
    return str(line["id"])


async def lines_after(operated: Operated, last: str) -> list[dict[str, Any]]:
    """Return the lines after one, oldest first."""
    found: list[dict[str, Any]] = (await call(operated, "GET", "/audit", params={"limit": 1_000}))["items"]
    return found[: [each["id"] for each in found].index(last)][::-1]


async def records_of(operated: Operated, app: BuilderApp) -> dict[str, str]:
    """Make one record of each kind; return their ids, by the names that paths have for them."""

    async def made(path: str, member: str, **body: Any) -> str:
        return str((await call(operated, "POST", path, 201, json=body))[member])

    developer = await made("/developers", "developer_id", wallet=Wallet().address)
    await call(operated, "PUT", f"/apps/{app.client_id}/members/{developer}", json={"role": "owner"})
    webhook = (await paused_webhook(app))["webhook_id"]
    keys, group = redis_keys(operated.deployment.settings), BODIES["forget_export_group"]["name"]
    async with operated.deployment.store() as store:
        await store.redis.xgroup_create(keys.shared(keys.tags[0]).events, group, "$", mkstream=True)
    return {
        "client_id": app.client_id,
        "user": await made(f"/apps/{app.client_id}/users", "user_id", external_id="ann"),
        "key_id": await made(f"/apps/{app.client_id}/keys", "key_id"),
        "invite_id": await made(f"/apps/{app.client_id}/invites", "invite_id", role="viewer"),
        "operator_id": await made("/operators", "operator_id", name="Bob", role="viewer"),
        "developer_id": developer,
        "event_id": (await needs_attention(operated.deployment, app.client_id, amount=5)).id,
        "webhook_id": webhook,
        "delivery_id": await waiting_for(operated.deployment, webhook),
    }


async def test_what_is_done_is_one_line(operated: Operated, app: BuilderApp) -> None:
    ids = await records_of(operated, app)
    last, routes = await newest(operated), changes()
    for route in routes:
        response = await sent(operated, route, ids)
        assert response.status_code in (200, 201), f"{route.name}: {response.text}"
    lines = await lines_after(operated, last)
    assert _foreign(lines, [_actions(each) for each in routes]) == []
    assert {(each["actor_kind"], each["actor"], each["result"]) for each in lines} == {("operator", "a admin", "done")}
    assert len(lines) > 30


async def test_what_is_refused_is_one_line(operated: Operated) -> None:
    last = await newest(operated)
    expected: list[tuple[str, Sequence[str]]] = []

    async def refused(route: APIRoute, status: int, code: str, actions: Sequence[str], **options: Any) -> None:
        response = await sent(operated, route, UNKNOWN, **options)
        assert (response.status_code, response.json()["code"]) == (status, code), route.name
        expected.append((code, actions))

    for route in changes():
        await refused(route, 403, "insufficient_role", ["route.call"], role=Role.VIEWER)
        if route.body_field is not None:
            await refused(route, 400, "invalid_parameter", ["route.call"], body=[])
        if "{" in route.path:
            await refused(route, 404, "unknown_id", _actions(route))
    lines = await lines_after(operated, last)
    assert [(each["code"], each["result"]) for each in lines] == [(code, "refused") for code, _ in expected]
    assert _foreign(lines, [actions for _, actions in expected]) == []


def _actions(route: APIRoute) -> Sequence[str]:
    named: str | list[str] = (route.openapi_extra or {})[ACTION]
    return [named] if isinstance(named, str) else named


def _foreign(lines: Sequence[dict[str, Any]], expected: Sequence[Sequence[str]]) -> list[str]:
    """Return the actions that are none of those expected at their place; there is one line for each."""
    found = [each["action"] for each in lines]
    return [action for action, actions in zip(found, expected, strict=True) if action not in actions]
