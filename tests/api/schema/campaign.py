"""Requests to every route of a FastAPI application, made from its schema by schemathesis, with ids that exist."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from middlewares.auth.records import Role
from tests.api.admin.attention import needs_attention
from tests.api.admin.conftest import ADMIN, operator_key
from tests.api.schema.matrix import signed_in_member
from tests.api.waiting_webhook import paused_webhook, waiting_for
from tests.support.builder import BuilderApp, bearer
from tests.support.deployment import Deployment
from tests.support.wallet import Wallet

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LAST = ("PATCH", "rotate", "DELETE", "erase")
"""What ends or changes that which other routes need, in this order."""


@dataclass
class Campaign:
    """Requests to every route of one schema, with what exists of one app."""

    origin: str
    schema: dict[str, Any]
    ids: dict[str, str]
    """Values of parameters that exist."""
    credentials: list[dict[str, str]]
    statuses: Counter[int] = field(default_factory=Counter)

    def run(self, cases: int) -> None:
        """Send so many requests, the same number to each route, half of them valid by the schema."""
        found: Any = schemathesis.openapi.from_dict(self.schema)
        operations = [each.ok() for each in found.get_all_operations()]
        assert len(operations) > 15
        operations.sort(key=lambda each: turn(each.method.upper(), each.path))
        for operation in operations:
            for mode in GenerationMode:
                if mode is GenerationMode.NEGATIVE and not (operation.body or any(operation.iter_parameters())):
                    continue  # nothing of it could be wrong
                strategy = operation.as_strategy(generation_mode=mode)
                self._run(strategy, -(-cases // (2 * len(operations))))

    def _run(self, strategy: st.SearchStrategy[Any], cases: int) -> None:
        @settings(max_examples=cases, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
        @given(
            case=strategy,
            known=st.fixed_dictionaries({name: st.integers(0, 7) for name in self.ids}),
            credential=st.sampled_from(self.credentials),
        )
        def send(case: Any, known: dict[str, int], credential: dict[str, str]) -> None:
            for name, number in known.items():
                if number < 7 and name in (case.path_parameters or {}):
                    case.path_parameters[name] = quote(self.ids[name])
                if number < 4 and name in (case.query or {}):
                    case.query[name] = self.ids[name]
            case.headers.update(credential)
            response = case.call(base_url=self.origin, timeout=30)
            self.statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        send()


def turn(method: str, path: str) -> int:
    """Return when the requests to a route are sent: what ends things comes last."""
    for number, named in enumerate(LAST, start=1):
        if method == named or path.endswith(named):
            return number
    return 0


async def builder_campaign(deployment: Deployment, app: BuilderApp) -> Campaign:
    """Return the campaign on the builder API: an app, a user of it, and its owner."""
    user = await app.user("ann")
    created = await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)
    owner = await signed_in_member(deployment, app, "owner")
    webhook = (await paused_webhook(app))["webhook_id"]
    event = await needs_attention(deployment, app.client_id, amount=5)
    return Campaign(
        origin=deployment.public,
        schema=(await app.http.get("/api/v1/openapi.json")).json(),
        ids={
            "client_id": app.client_id,
            "user": user,
            "key_id": created.json()["key_id"],
            "period": "2026-11",
            "session_id": owner["session_id"],
            "link_id": await app.portal_link(user),
            "webhook_id": webhook,
            "delivery_id": await waiting_for(deployment, webhook),
            "request_id": event.id,
        },
        credentials=[
            *[bearer(await app.token())] * 4,
            *[{"authorization": f"Basic {b64encode(f'{app.client_id}:{app.secret}'.encode()).decode()}"}] * 2,
            bearer(await app.token("read")),
            *[bearer(await app.user_token(user))] * 2,
            bearer(created.json()["key"]),
            *[bearer(owner["session"])] * 2,
            bearer(owner["token"]),
            bearer("tgk_none"),
            {},
        ],
    )


async def admin_campaign(deployment: Deployment, app: BuilderApp) -> Campaign:
    """Return the campaign on the admin API: one record of each kind, and operators of all roles."""
    user = await app.user("ann")
    keys = {role: await operator_key(deployment, role) for role in Role}
    other = await operator_key(deployment, Role.VIEWER)
    admin = bearer(keys[Role.ADMIN])
    origin, path = f"{deployment.private}{ADMIN}", f"{deployment.private}{ADMIN}/apps/{app.client_id}"
    key = (await app.http.post(f"{path}/keys", json={}, headers=admin)).json()
    invite = (await app.http.post(f"{path}/invites", json={"role": "viewer"}, headers=admin)).json()
    body = {"wallet": Wallet().address}
    developer = (await app.http.post(f"{origin}/developers", json=body, headers=admin)).json()["developer_id"]
    event = await needs_attention(deployment, app.client_id, reserved=5)
    webhook = (await paused_webhook(app))["webhook_id"]
    return Campaign(
        origin=deployment.private,
        schema=(await app.http.get(f"{origin}/openapi.json")).json(),
        ids={
            "client_id": app.client_id,
            "user": user,
            "key_id": key["key_id"],
            "invite_id": invite["invite_id"],
            "developer_id": developer,
            "event_id": event.id,
            "request_id": event.id,
            "webhook_id": webhook,
            "delivery_id": await waiting_for(deployment, webhook),
            "operator_id": other.split("_")[1],
        },
        credentials=[
            *[admin] * 7,
            bearer(keys[Role.SUPPORT]),
            bearer(keys[Role.VIEWER]),
            bearer(await app.token()),
            bearer("tgo_none"),
            {},
        ],
    )
