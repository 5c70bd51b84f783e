"""Whatever is sent to the builder API, its responses are those that its schema names (by schemathesis).

Requests come from the schema, valid ones and broken ones, with ids and credentials that exist beside those that do not.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
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

from tests.support.builder import BuilderApp, bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass
class Campaign:
    """Requests to every route, with what exists of one app."""

    origin: str
    ids: dict[str, str]
    """Values of path parameters that exist."""
    credentials: list[dict[str, str]]
    statuses: Counter[int] = field(default_factory=Counter)

    def run(self, schema: dict[str, Any], cases: int) -> None:
        """Send so many requests, the same number to each route, half of them valid by the schema."""
        found: Any = schemathesis.openapi.from_dict(schema)
        operations = [each.ok() for each in found.get_all_operations()]
        assert len(operations) > 15
        operations.sort(key=lambda each: each.method.upper() in ("DELETE", "PATCH"))  # those end what the others use
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
            case.headers.update(credential)
            response = case.call(base_url=self.origin, timeout=30)
            self.statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        send()


async def campaign(app: BuilderApp) -> Campaign:
    user = await app.user("ann")
    created = await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)
    webhook = await app.http.post(f"{app.path}/webhooks", json={"url": "https://hooks.invalid/"}, auth=app.basic)
    return Campaign(
        origin=str(app.http.base_url).rstrip("/"),
        ids={
            "client_id": app.client_id,
            "user": user,
            "key_id": created.json()["key_id"],
            "period": "2026-11",
            "session_id": "none",
            "webhook_id": webhook.json()["webhook_id"],
            "delivery_id": f"msg_{'0' * 32}",
        },
        credentials=[
            *[bearer(await app.token())] * 4,
            *[{"authorization": f"Basic {b64encode(f'{app.client_id}:{app.secret}'.encode()).decode()}"}] * 2,
            bearer(await app.token("read")),
            *[bearer(await app.user_token(user))] * 2,
            bearer(created.json()["key"]),
            bearer("tgk_none"),
            {},
        ],
    )


async def test_every_response_is_one_that_the_schema_names(app: BuilderApp, running: Deployment) -> None:
    await run(app, running, 100)


@pytest.mark.fuzz
@pytest.mark.timeout(3_000)
async def test_two_thousand_responses_are_those_that_the_schema_names(app: BuilderApp, running: Deployment) -> None:
    await run(app, running, 2_000)


async def run(app: BuilderApp, running: Deployment, cases: int) -> None:
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    found = await campaign(app)
    await asyncio.to_thread(found.run, schema, cases)
    print(f"{found.statuses.total()} requests: {dict(sorted(found.statuses.items()))}")
    assert found.statuses.total() >= cases
    assert {200, 400, 401, 403, 404} <= found.statuses.keys()
    assert "Traceback" not in running.log.read_text()
