"""One deployment of two workers in front of two gateways for the pages of operators, and tenants that have used it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from middlewares.auth.keys import pepper_of
from middlewares.auth.records import Role
from proxy.control.operators.operators import Operators
from proxy.control.operators.sessions import OPERATOR_SIGN_IN_PATH, OperatorLinks
from proxy.mock_gateway import MockGateway
from tests.live.server_fixture import SECRET
from tests.portal.browser import OPEN, Browser, new_browser
from tests.portal.conftest import CONFIG, PLANS, Tenant, tenant
from tests.support.deployment import Deployment, deployed

HOME = "/portal/operator"
ROLES = tuple(Role)
LIVE_PLAN: dict[str, Any] = {"billing": "usage", "prices": [{"unit": "seconds", "amount": 1_000_000}]}
OTHER_PLAN: dict[str, Any] = {
    "billing": "subscription",
    "fee": 11,
    "prices": [
        {"workload": "text-to-image", "unit": "generations", "amount": 3, "per": 7},
        {"unit": "pixels", "amount": 5},
    ],
}
SECRETS = {"TOLLGATE_WEBHOOKS__SECRET": SECRET}


@dataclass(frozen=True)
class House:
    """A deployment with two gateways, an operator of each role, and a tenant that has used something."""

    deployment: Deployment
    second: MockGateway
    operators: dict[Role, str]
    """Ids of operators."""
    browsers: dict[Role, Browser]
    tenant: Tenant

    def by(self, role: Role) -> Browser:
        """Return the browser of the operator of this role."""
        return self.browsers[role]

    async def fresh(self, role: Role) -> Browser:
        """Return another browser of the operator of this role."""
        return await operator_in(self.deployment, self.operators[role])

    async def audit(self, **fields: str) -> list[tuple[str, str, str]]:
        """Return actor, result and code of audit lines, oldest first, by `tollgate audit list`."""
        options = [word for name, value in fields.items() for word in (f"--{name}", value)]
        code, text, error = await self.deployment.cli("audit", "list", "--json", "--limit", "50", *options)
        assert code == 0, error
        return [(each["actor"], each["result"], each["code"] or "") for each in lines_of(text)]


def lines_of(text: str) -> list[dict[str, Any]]:
    """Return the objects that a command has printed as JSON."""
    found = json.loads(text)
    return found if isinstance(found, list) else found["items"]


async def operator_of(deployment: Deployment, role: Role, name: str = "") -> str:
    """Create an operator; return its id."""
    async with deployment.store() as store:
        record, _ = await Operators(store.redis, pepper_of(deployment.settings.auth)).create(name or f"a {role}", role)
    return record.operator_id


async def operator_link(deployment: Deployment, operator: str, seconds: int = 900) -> str:
    """Return the path of a sign-in link."""
    async with deployment.store() as store:
        links = OperatorLinks(store.redis, pepper_of(deployment.settings.auth))
        _, secret = await links.create(operator, timedelta(seconds=seconds))
    return OPERATOR_SIGN_IN_PATH + secret


async def operator_in(deployment: Deployment, operator: str) -> Browser:
    """Return a browser in which an operator is signed in."""
    browser = new_browser(deployment)
    response = await browser.send(await operator_link(deployment, operator), {})
    assert (response.status_code, response.headers["location"]) == (303, HOME), response.text
    return browser


async def token_of(browser: Browser) -> str:
    """Return the token of the forms of an operator's session."""
    match = re.search(r'name="form_token" value="([0-9a-f]{64})"', (await browser.page(f"{HOME}/sessions")).text)
    assert match
    return match[1]


async def submit(browser: Browser, path: str, /, **fields: str) -> Any:
    """Send a form as one of the pages for operators does."""
    return await browser.send(path, {"form_token": await token_of(browser), **fields})


def _config(*gateways: MockGateway) -> dict[str, Any]:
    """Return a configuration with these gateways in one pool."""
    plans = {**PLANS, "live": LIVE_PLAN, "other": OTHER_PLAN}
    return {
        **CONFIG,
        "plans": plans,
        "webhooks": {"tick_seconds": 0.05, "gap_seconds": 600},
        "routing": {"pools": {"main": {"gateways": [{"url": each.url} for each in gateways]}}},
    }


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Run two workers whose limits no test reaches."""
    async with MockGateway() as second:
        folder = tmp_path_factory.mktemp("operator")
        async with MockGateway() as first, deployed(folder, _config(first, second), SECRETS) as deployment:
            deployment.gateway = first
            operators = {role: await operator_of(deployment, role) for role in Role}
            browsers = {role: await operator_in(deployment, each) for role, each in operators.items()}
            used = await tenant(deployment, "Picture House")
            await used.use(used.user_key, 3)
            await used.use(used.key, 2)
            await deployment.settled(6, used.app)
            yield House(deployment, second, operators, browsers, used)
            while OPEN:
                await OPEN.pop().http.aclose()
