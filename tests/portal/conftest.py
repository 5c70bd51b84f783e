"""One deployment of two workers for the tests of the portal, and an app that has used something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from middlewares.auth.keys import pepper_of
from middlewares.ledger.credit import prepaid
from proxy.control.apps import Apps
from proxy.control.developers.records import MemberRole
from proxy.store.configured import redis_keys
from tests.portal.browser import OPEN, Browser, developer_of, signed_in
from tests.support.builder import bearer
from tests.support.deployment import Deployment, deployed
from tests.webhooks.notifications.receiver import Receiver, receiving

PRICE = 7 * 10**20 + 1
"""Beyond what a 64-bit integer, or a float, can hold."""
GRANT = 10**27
ENORMOUS = 10**27 - 1
"""The largest price of 27 digits, each of which is shown."""
PLANS: dict[str, Any] = {
    "portal": {
        "tier": "standard",
        "billing": "credits",
        "prices": [{"workload": "text-to-image", "unit": "generations", "amount": str(PRICE)}],
        "limits": {
            "app": {
                "requests_per_minute": 1_000,
                "requests_per_day": 100_000,
                "concurrent": 7,
                "caps": [{"unit": "amount", "per": "month", "max": str(10**26)}],
            },
            "user": {"requests_per_minute": 60},
        },
    },
    "enormous": {
        "tier": "standard",
        "billing": "credits",
        "prices": [{"workload": "text-to-image", "unit": "generations", "amount": str(ENORMOUS)}],
        "limits": {
            "app": {"concurrent": 2, "requests_per_day": 10},
            "user": {"requests_per_minute": 1_000_000},
        },
    },
    "narrow": {"tier": "standard", "limits": {"app": {"requests_per_day": 1}}},
}
CONFIG: dict[str, Any] = {
    "workers": 2,
    "control": {"requests_per_minute": 100_000},
    "portal": {"requests_per_minute": 100_000},
    "auth": {"failures_per_minute": 100_000},
    "notifications": {"networks": ["127.0.0.0/8", "::1/128"]},
    "plans": PLANS,
}
IMAGE = {"model_id": "stabilityai/sdxl-turbo", "prompt": "p"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """An app, its keys, its user, and who may look at it."""

    deployment: Deployment
    app: str
    secret: str = field(repr=False)
    key: str = field(repr=False)
    user: str = ""
    user_key: str = field(default="", repr=False)

    @property
    def path(self) -> str:
        """Return where the pages of the app begin."""
        return f"/portal/apps/{self.app}"

    async def member(self, role: MemberRole) -> Browser:
        """Return the browser of a new member."""
        return await signed_in(self.deployment, await developer_of(self.deployment, {self.app: role}))

    async def use(self, key: str, times: int = 1) -> str:
        """Send requests that are charged; return the id of the last."""
        found = ""
        async with httpx.AsyncClient(base_url=self.deployment.public, trust_env=False, verify=False) as http:
            for _ in range(times):
                response = await http.post("/text-to-image", json=IMAGE, headers=bearer(key), timeout=30)
                found = response.headers["x-request-id"]
        return found


async def tenant(deployment: Deployment, name: str, plan: str = "portal", external_id: str = "ann") -> Tenant:
    """Create an app with credits, a key of its own, and a user with a key."""
    settings = deployment.settings
    async with deployment.store() as store:
        app, secret = await Apps(store.redis, pepper_of(settings.auth)).create(name, plan)
        await prepaid.grant(store, redis_keys(settings), app.client_id, None, GRANT, reference="begin")
    user = await deployment.user(app.client_id, external_id)
    own, of_user = await deployment.key(app.client_id), await deployment.key(app.client_id, user)
    return Tenant(deployment, app.client_id, secret, own, user, of_user)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def receiver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Receiver]:
    """Run a receiver of webhooks."""
    async with receiving(tmp_path_factory.mktemp("receiver")) as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> AsyncIterator[Deployment]:
    """Run two workers whose limits no test reaches, and which trust the receiver."""
    trusted = {"SSL_CERT_FILE": str(receiver.authority)}
    async with deployed(tmp_path_factory.mktemp("portal"), CONFIG, environment=trusted) as deployment:
        yield deployment
        while OPEN:
            await OPEN.pop().http.aclose()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def used(running: Deployment) -> Tenant:
    """Return a tenant that has used something: three times by the key of its user, twice by its own."""
    found = await tenant(running, "Picture House")
    await found.use(found.user_key, 3)
    await found.use(found.key, 2)
    await running.settled(6, found.app)
    return found
