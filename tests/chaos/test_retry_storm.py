"""Hazard: clients that repeat everything while workers are killed. No work is done or billed twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import pytest

from middlewares.auth.keys import pepper_of
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from tests.chaos.assertions import audit, wait_until_settled
from tests.chaos.load import IMAGE, chat
from tests.support.deployment import Customer, Deployment, deployed

pytestmark = pytest.mark.slow

COPIES = 3
PRICE = 10**17 + 1
TOKENS = 20
AMOUNTS = {"/text-to-image": 64 * 64 * PRICE, "/llm": TOKENS * PRICE}
"""What each request costs, by its path."""
ORPHANS = ("refund", "estimate")
CONFIG = {
    "hold_ttl": 5,
    "log": {"requests": False},
    "plans": {
        name: {
            "billing": "usage",
            "on_orphan": name,
            "prices": [{"unit": "pixels", "amount": PRICE}, {"unit": "output_tokens", "amount": PRICE}],
        }
        for name in ORPHANS
    },
}


@dataclass
class Storm:
    """Clients that send each of their requests three times at once, and again until they have a final response."""

    deployment: Deployment
    rng: random.Random
    statuses: Counter[str] = field(default_factory=Counter)
    """Number of responses by status, and code of a refusal; `0`: the connection broke."""
    killed: int = 0
    """Number of workers."""
    paths: dict[str, list[str]] = field(default_factory=dict)
    """Paths of the requests of each app."""
    responses: dict[tuple[str, int], set[bytes]] = field(default_factory=dict)
    """Different responses that the copies of a request got."""

    async def customers(self, count: int) -> list[tuple[Customer, str]]:
        """Create that many apps with a key, and return them with their plans."""
        made = []
        async with self.deployment.store() as store:
            pepper = pepper_of(self.deployment.settings.auth)
            apps, keys = Apps(store.redis, pepper), ApiKeys(store.redis, pepper)
            for number in range(count):
                plan = ORPHANS[number % len(ORPHANS)]
                app, _ = await apps.create(f"client {number}", plan)
                _, key = await keys.create(app.client_id)
                made.append((Customer(app.client_id, key), plan))
        return made

    async def client(self, session: aiohttp.ClientSession, customer: Customer, requests: int) -> None:
        """Send one request after the other, each three times at once."""
        paths = self.paths[customer.app] = [self.rng.choice(tuple(AMOUNTS)) for _ in range(requests)]
        for number, path in enumerate(paths):
            body = IMAGE | {"prompt": str(number), "model_id": "mock/delay=0.1"} if path != "/llm" else chat(TOKENS)
            headers = customer.headers | {"Idempotency-Key": f'"request {number}"'}
            copies = [self._until_final(session, path, body, headers) for _ in range(COPIES)]
            bodies = await asyncio.gather(*copies)
            self.responses[customer.app, number] = {each for each in bodies if each}

    async def _until_final(
        self, session: aiohttp.ClientSession, path: str, body: dict[str, object], headers: dict[str, str]
    ) -> bytes:
        """Send it until its response is whole, and not that another is in flight; return a success's body."""
        while True:
            await asyncio.sleep(self.rng.uniform(0, 0.2))
            status, text = 0, b""
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.post(self.deployment.public + path, json=body, headers=headers) as response:
                    text = await response.read()
                    status = response.status
            if status == 200:
                self.statuses["200"] += 1
                return text
            code = text.decode().partition('"code":"')[2].partition('"')[0]
            self.statuses[f"{status} {code}".strip()] += 1
            if code == "idempotency_done":
                return b""
            assert status == 0 or code in ("idempotency_in_flight", "gate_shutdown", "store_unavailable"), text

    async def kill(self, kills: int, pause: float) -> None:
        """Kill one worker after the other, each some time after the one before has been replaced."""
        count = self.deployment.settings.workers
        for _ in range(kills):
            await asyncio.sleep(self.rng.uniform(0.2, pause))
            workers = self.deployment.workers()
            with contextlib.suppress(psutil.NoSuchProcess):
                self.rng.choice(workers).kill()
            self.killed += 1
            while True:
                await asyncio.sleep(0.25)  # a look at all processes of the machine is not cheap
                if len(self.deployment.workers()) == count:
                    break

    async def check(self, customers: list[tuple[Customer, str]]) -> Counter[str]:
        """Check what the gateway got and what was billed, client by client; return the events by outcome."""
        events: dict[str, list[dict[str, object]]] = {}
        for event in await self.deployment.events():
            events.setdefault(str(event["app"]), []).append(event)
        outcomes: Counter[str] = Counter()
        for customer, plan in customers:
            own = events[customer.app]
            paths = self.paths[customer.app]
            outcome = {event["id"]: str(event["outcome"]) for event in own if event["type"] == "usage"}
            outcomes.update(outcome.values())
            assert sum(int(str(event["amount"])) for event in own) == sum(AMOUNTS[path] for path in paths), own
            records = self.deployment.forwarded(customer.app)
            living = [record for record in records if outcome[record.request_id] != "orphaned"]
            if plan == "refund":
                assert len(living) == len(paths), "each was done once by an attempt that lived"
                assert len(records) <= len(outcome)
            else:
                assert len(outcome) == len(paths), "no key was free again"
                assert len(records) <= len(paths)
            different = sum(len(self.responses[customer.app, number]) for number in range(len(paths)))
            assert different <= len(records), "every response is one of the gateway's"
        return outcomes


async def campaign(folder: Path, *, workers: int, clients: int, requests: int, kills: int, pause: float) -> None:
    """Let clients repeat their requests while workers are killed; then audit."""
    seed = random.randrange(10**6)
    async with deployed(folder, CONFIG | {"workers": workers}) as deployment:
        storm = Storm(deployment, random.Random(seed))
        customers = await storm.customers(clients)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(300)) as session:
            killing = asyncio.create_task(storm.kill(kills, pause))
            await asyncio.gather(*(storm.client(session, customer, requests) for customer, _ in customers))
            killing.cancel()
            await asyncio.wait([killing])
        assert storm.killed, "the storm was over before a worker was killed"
        late = await wait_until_settled(deployment)
        outcomes = await storm.check(customers)
        result = await audit(deployment)
    sent = clients * requests
    print(
        f"retry storm: seed {seed}, {sent} requests of {clients} clients, each sent {COPIES} times, {storm.killed} "
        f"workers killed; responses {dict(storm.statuses)}; events {dict(outcomes)}; {result}; {late} ms late"
    )


async def test_a_retry_storm_while_workers_are_killed(tmp_path: Path) -> None:
    await campaign(tmp_path, workers=2, clients=40, requests=1, kills=2, pause=1)


@pytest.mark.soak
async def test_a_retry_storm_of_200_clients_while_workers_are_killed(tmp_path: Path) -> None:
    await campaign(tmp_path, workers=4, clients=200, requests=5, kills=30, pause=3)
