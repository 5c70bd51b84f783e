"""A stream of requests through one worker, while something happens to its Redis; and what must be true afterwards."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.credit.prepaid import grant
from middlewares.ledger.model import Admitted, LedgerUnavailable
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER, Event
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import StoreUnavailable
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.worker_ledger import WorkerLedger, never_rejected
from tests.store.servers import RedisServer, eventually

DEADLINE = 0.25
GRACE = 0.05
HOLD_SECONDS = 1.5
CLIENTS = 6
BOUND = 100
PRICE = 10**18
COMMON: dict[str, Any] = {"prices": [{"unit": "pixels", "amount": PRICE}], "on_orphan": "estimate"}
LIMITS = {"app": {"requests_per_minute": 10**6, "concurrent": 1_000}}
PLANS = {
    "local": Plan.model_validate(COMMON | {"billing": "usage", "limits": LIMITS}),
    "refuse": Plan.model_validate(COMMON | {"billing": "credits"}),
}


@dataclass
class Client:
    """Requests under one plan, and what became of them."""

    worker_ledger: WorkerLedger
    policy: Policy
    used: dict[str, int] = field(default_factory=dict)
    """Pixels by the id of each admitted request."""
    local: int = 0
    by_redis: int = 0
    refused: int = 0
    denied: int = 0
    seconds: list[float] = field(default_factory=list)
    going: bool = True

    async def run(self) -> None:
        """One request after the other, until it is told to stop."""
        for number in itertools.count():
            if not self.going:
                return
            await self._request(number % BOUND)
            await asyncio.sleep(0.002)

    async def _request(self, pixels: int) -> None:
        began = time.monotonic()
        try:
            decision = await self.worker_ledger.admit(self.policy, {Unit.PIXELS: BOUND})
        except LedgerUnavailable:
            self.refused += 1
            return
        finally:
            self.seconds.append(time.monotonic() - began)
        if not isinstance(decision, Admitted):
            self.denied += 1
            return
        if decision.hold.local:
            self.local += 1
        else:
            self.by_redis += 1
        self.used[decision.hold.request_id] = pixels
        await asyncio.sleep(0.001 * (pixels % 7))
        self.worker_ledger.settle(decision.hold, self.policy, {Unit.PIXELS: pixels})


class LoadRun:
    """One worker with its clients, and the process that reaps."""

    def __init__(self, store: Store, reaping: Store, keys: RedisKeys, folder: Path, deadline: float) -> None:
        self._store = store
        self._folder = folder
        self._deadline = deadline
        self._keys = keys
        self.worker_ledger = WorkerLedger(store, keys, folder, hold_ttl=HOLD_SECONDS, deadline=deadline)
        settler = Settler(reaping, keys, never_rejected)
        self._reaper = Reaper(reaping, keys, settler, lambda _: None, self.worker_ledger.reports.lost)
        self.clients = {
            name: Client(self.worker_ledger, self.worker_ledger.ledger.policy(f"app_{ULID()}", None, None, name, plan))
            for name, plan in PLANS.items()
        }
        self._running: list[asyncio.Task[None]] = []
        self._lag = 0.0

    async def _watch_lag(self) -> None:
        """How late this loop is at the worst, which is nobody's fault but the machine's."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            self._lag = max(self._lag, time.monotonic() - began - 0.005)

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Requests go on."""
        await eventually(self.paid)
        upkeep = [
            asyncio.create_task(each)
            for each in (self.worker_ledger.ledger.run(), self._reaper.run(), self._watch_lag())
        ]
        running = [asyncio.create_task(client.run()) for client in self.clients.values() for _ in range(CLIENTS)]
        self._running = running
        try:
            await self.served()
            yield
        finally:
            for task in (*running, *upkeep):
                task.cancel()
            await asyncio.gather(*running, *upkeep, return_exceptions=True)
            await self.worker_ledger.ledger.drain()
            self.worker_ledger.ledger.close()

    async def _quiet(self) -> bool:
        redis: Any = self._store.redis
        return not any([await redis.zcard(self._keys.shared(tag).holds) for tag in self._keys.tags])

    async def paid(self) -> bool:
        """Fill the prepaid wallet; whether Redis took it."""
        app = self.clients["refuse"].policy.app
        try:
            await grant(self._store, self._keys, app, None, 10**27, reference=str(ULID()))
        except StoreUnavailable:
            return False
        return True

    async def more(self, plan: str, count: Callable[[Client], int], number: int = 25) -> None:
        """Wait until so many more are counted."""
        client = self.clients[plan]
        goal = count(client) + number
        await eventually(lambda: count(client) >= goal)

    async def served(self) -> None:
        """Wait until Redis admits under both plans."""
        for plan in PLANS:
            await self.more(plan, lambda client: client.by_redis)

    async def lost(self) -> None:
        """Wait until it is noticed, and each plan has done its own for a while."""
        await self.more("refuse", lambda client: client.refused)
        await self.more("local", lambda client: client.local)

    async def end(self) -> None:
        """No more requests; wait until all are settled, the journal is empty and no hold is left."""
        for client in self.clients.values():
            client.going = False
        await asyncio.gather(*self._running)
        await self.worker_ledger.ledger.drain()
        await eventually(lambda: self.worker_ledger.ledger.journal.size == 0)
        await eventually(self._quiet)

    async def check(self) -> None:
        """Nobody waited too long, nobody guessed who must not, nothing was given up, and all totals add up."""
        allowed = self._deadline + GRACE + self._lag
        for client in self.clients.values():
            slow = sorted(client.seconds)[int(len(client.seconds) * 0.99)]
            assert slow <= allowed, f"an admission took {slow} s; the loop was {self._lag} s late at the worst"
        assert self.clients["refuse"].local == 0
        assert self.worker_ledger.reports.losses == []
        differences, _ = await verify_in(self._folder, self._store.redis, self._keys, PLANS)
        assert differences == []

    async def events(self) -> list[tuple[Event, int]]:
        """Those of requests, with their amounts; none stands there twice."""
        redis: Any = self._store.redis
        found = [
            (DECODER.decode(fields[b"event"]), int(fields[b"amount"]))
            for tag in self._keys.tags
            for _, fields in await redis.xrange(self._keys.shared(tag).events)
        ]
        assert max(Counter(event.id for event, _ in found).values()) == 1
        return [(event, amount) for event, amount in found if event.type != "credit"]

    @property
    def admitted(self) -> dict[str, int]:
        """Pixels used by each admitted request."""
        return {request: pixels for client in self.clients.values() for request, pixels in client.used.items()}

    async def check_events(self, *, wiped: Collection[str] = ()) -> None:
        """Each admitted request has one event which says, with its adjustment if any, what it used and pays.

        Those of `wiped` may have none.
        """
        pixels: defaultdict[str, int] = defaultdict(int)
        money: defaultdict[str, int] = defaultdict(int)
        for event, amount in await self.events():
            request = event.id.removesuffix("-adjustment")
            pixels[request] += event.units.get(Unit.PIXELS, 0)
            money[request] += amount
        missing = self.admitted.keys() - pixels.keys()
        assert missing <= set(wiped)
        used = {request: number for request, number in self.admitted.items() if request not in missing}
        assert pixels == used
        assert money == {request: number * PRICE for request, number in used.items()}


@asynccontextmanager
async def load_run(server: RedisServer, folder: Path, *, deadline: float = DEADLINE) -> AsyncIterator[LoadRun]:
    """A worker and a reaper at this server, wired as the gate wires them."""
    made: LoadRun | None = None
    replays: list[asyncio.Task[None]] = []

    def replaced() -> None:
        if made:
            replays.append(asyncio.create_task(made.worker_ledger.ledger.after_failover()))

    store = await Store.open(server.url, folder, deadline=deadline, on_new_server=replaced)
    async with store, await Store.open(server.url, folder, deadline=deadline) as reaping:
        made = LoadRun(store, reaping, RedisKeys(2, cluster=False), folder, deadline)
        async with made.playing():
            yield made
            await asyncio.gather(*replays)
