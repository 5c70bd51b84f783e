"""Hazard: the data directory is gone in the middle of everything. More is lost than the last moments, or in silence."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from middlewares.ledger.group_commit.committer import GROUP_SECONDS
from tests.chaos.assertions import kill_everything
from tests.chaos.load import IMAGE
from tests.store.conftest import servers_in
from tests.support.deployment import Customer, Deployment, deployed, eventually

pytestmark = pytest.mark.ci

CLIENTS, WORKERS = 16, 2
SLACK_SECONDS = 1.0
"""What a busy machine may be late with a commit."""
CONFIG: dict[str, Any] = {
    "workers": WORKERS,
    "hold_ttl": 2,
    "plans": {
        "busy": {
            "billing": "usage",
            "limits": {"app": {"requests_per_minute": 10**6, "concurrent": 1_000}},
            "prices": [{"unit": "requests", "amount": 1}],
        }
    },
}


class Clients:
    """Clients with one request at a time each; when each response was whole, by the id of its request."""

    def __init__(self, deployment: Deployment, customer: Customer) -> None:
        self._deployment = deployment
        self._customer = customer
        self.served: dict[str, float] = {}

    async def until_gone(self) -> None:
        """Send requests until Tollgate is gone."""
        async with aiohttp.ClientSession(headers=self._customer.headers) as session:
            await asyncio.gather(*(self._client(session) for _ in range(CLIENTS)))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        url = self._deployment.public + "/text-to-image"
        try:
            while True:
                async with session.post(url, json=IMAGE) as response:
                    await response.read()
                    assert response.status == 200
                    self.served[response.headers["x-request-id"]] = time.monotonic()
        except (aiohttp.ClientError, OSError):
            return


@pytest.mark.parametrize("alive", [False, True], ids=["with its processes", "before them"])
async def test_a_data_directory_goes(tmp_path: Path, alive: bool) -> None:
    with servers_in(tmp_path) as start_redis:
        async with deployed(tmp_path, CONFIG | {"redis_url": start_redis(tcp=True).url}) as deployment:
            customer = await deployment.customer("busy")
            clients = Clients(deployment, customer)
            load = asyncio.create_task(clients.until_gone())
            await eventually(lambda: len(clients.served) > 500)
            data = deployment.settings.data_dir
            if alive:
                shutil.rmtree(data)
                before = len(clients.served)
                await eventually(lambda: len(clients.served) > before + 200)
            killed = time.monotonic()
            await kill_everything(deployment)
            await load
            shutil.rmtree(data, ignore_errors=True)
            offset = deployment.log.stat().st_size
            await deployment.start()

            def losses() -> list[str]:
                return [line["reason"] for line in deployment.lines(offset) if line["event"] == "usage_lost"]

            await eventually(lambda: bool(losses()))
            found = losses()
            assert len(found) <= WORKERS
            assert all(f"app {customer.app} " in loss and "was never returned" in loss for loss in found)
            ids = Counter([event["id"] for event in await deployment.events(customer.app)])
            assert set(ids.values()) == {1}
            missing = {record.request_id for record in deployment.gateway.requests} - ids.keys()
            late = [killed - clients.served[each] for each in missing if each in clients.served]
            assert all(seconds < GROUP_SECONDS + SLACK_SECONDS for seconds in late)
            assert len(missing) - len(late) <= CLIENTS
    kept = max(late, default=0) * 1000
    print(
        f"data directory gone {'before' if alive else 'with'} its processes: {len(clients.served)} requests served, "
        f"{len(missing)} without an event, of which {len(late)} were served, at most {kept:.0f} ms before; "
        f"{len(found)} shares never returned"
    )
