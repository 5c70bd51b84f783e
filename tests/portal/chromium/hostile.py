"""Apps that are hard to show: names without a space, amounts of 28 digits, and a request of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from middlewares.auth.keys import pepper_of
from middlewares.ledger.credit import prepaid
from proxy.control.api_keys import ApiKeys
from proxy.control.developers.records import MemberRole
from proxy.store.configured import redis_keys
from tests.portal.browser import Browser, developer_of, link_for, signed_in
from tests.portal.conftest import ENORMOUS, IMAGE, Tenant, tenant
from tests.portal.operator.conftest import HOME
from tests.support.builder import bearer
from tests.support.deployment import Deployment, eventually

LONG = "ÄgW_" * 75
"""300 characters, none of them a space."""
MODEL = "AgW_" * 64
"""As long as the name of a model may be."""
_HELD = "hostile"


@dataclass(frozen=True, slots=True)
class Hostile:
    """An app of which everything is long or large, and the ids that its pages name."""

    tenant: Tenant
    empty: Tenant
    """Another app, which has nothing."""
    key_id: str
    charged: str
    running: str
    refused: str
    link: str
    webhook: str

    @property
    def names(self) -> dict[str, str]:
        """Return what stands for what in the paths of screens."""
        ids = {"key": self.key_id, "charged": self.charged, "running": self.running, "refused": self.refused}
        ids |= {"user": self.tenant.user, "webhook": self.webhook, "period": f"{datetime.now(UTC):%Y-%m}"}
        ids |= {"operator": HOME, "client_id": self.tenant.app}
        return {"app": self.tenant.path, "empty": self.empty.path, "link": self.link, **ids}


async def owner(found: Hostile, *others: str) -> Browser:
    """Return the browser of an owner of both apps, and of others."""
    roles: dict[str, MemberRole] = dict.fromkeys((found.tenant.app, found.empty.app, *others), "owner")
    deployment = found.tenant.deployment
    return await signed_in(deployment, await developer_of(deployment, roles))


async def refused_request(mine: Tenant) -> str:
    """Send a request that is refused; return its id once it can be explained."""
    request_id = await mine.use(mine.key)
    browser = await mine.member("viewer")

    async def is_recorded() -> bool:
        return (await browser.get(f"{mine.path}/requests/{request_id}")).status_code == 200

    await eventually(is_recorded)
    return request_id


async def registered_webhook(http: httpx.AsyncClient, mine: Tenant) -> str:
    """Register a URL that is as long as one may be, and has nobody behind it; return the id of the endpoint."""
    path = f"/api/v1/apps/{mine.app}/webhooks"
    url = f"https://hooks.invalid/{'w' * 1_900}"
    body = {"url": url, "description": LONG[:100], "balance_below": str(10**27)}
    made = await http.post(path, json=body, auth=httpx.BasicAuth(mine.app, mine.secret))
    assert made.status_code == 201, made.text
    await http.post(f"{path}/{made.json()['webhook_id']}/test", auth=httpx.BasicAuth(mine.app, mine.secret))
    return str(made.json()["webhook_id"])


@asynccontextmanager
async def hostile_app(deployment: Deployment) -> AsyncIterator[Hostile]:
    """Make the app: one request of it was charged, one runs until the end, and one was refused."""
    mine = await tenant(deployment, LONG, "enormous", external_id=LONG[:255])
    settings = deployment.settings
    async with deployment.store() as store:
        keys = redis_keys(settings)
        await prepaid.grant(store, keys, mine.app, None, ENORMOUS, reference="more")
        record, text = await ApiKeys(store.redis, pepper_of(settings.auth)).create(
            mine.app, user=mine.user, name=LONG[:100], models=frozenset({MODEL}), description=LONG
        )
    long_model = {**IMAGE, "model_id": MODEL}
    async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False, timeout=None) as http:
        charged = await http.post("/text-to-image", json=long_model, headers=bearer(text))
        assert charged.status_code == 200, charged.text
        await deployment.settled(3, mine.app)
        held = {**bearer(text), "x-mock-gateway": f"hold={_HELD}"}
        sent = asyncio.create_task(http.post("/text-to-image", json=long_model, headers=held))
        await eventually(lambda: len(deployment.forwarded(mine.app)) == 2)
        running = deployment.forwarded(mine.app)[-1].request_id
        refused = await refused_request(mine)
        empty = await tenant(deployment, "Empty", "enormous")
        link = await link_for(deployment, await developer_of(deployment))
        webhook = await registered_webhook(http, mine)
        charged_id = charged.headers["x-request-id"]
        yield Hostile(mine, empty, record.key_id, charged_id, running or "", refused, link, webhook)
        deployment.gateway.release(_HELD)
        await sent
