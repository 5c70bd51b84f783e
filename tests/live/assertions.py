"""Plans for live streams, and the ledger's view of what they were charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.credit.prepaid import Balance, balance, grant
from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER, Event
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.redis_time import Clocked
from tests.ledger.worker_ledger import never_rejected

TICK = 5_000
GAP = 30_000
PER_SECOND = 7
PLANS = {
    name: Plan.model_validate(fields)
    for name, fields in {
        "prepaid": {
            "billing": "credits",
            "limits": {"app": {"concurrent": 1}, "key": {"requests_per_minute": 3}},
            "prices": [{"unit": "seconds", "amount": PER_SECOND}],
        },
        "postpaid": {
            "billing": "usage",
            "limits": {"user": {"caps": [{"unit": "seconds", "per": "day", "max": 30}]}},
            "prices": [{"unit": "minutes", "amount": 7}, {"unit": "requests", "amount": 100}],
        },
        "included": {
            "billing": "subscription",
            "prices": [{"unit": "seconds", "amount": PER_SECOND}, {"unit": "requests", "amount": 3}],
            "allowances": [{"unit": "seconds", "per": "day", "included": 12}],
        },
        "studio": {
            "billing": "usage",
            "prices": [{"unit": "seconds", "amount": PER_SECOND}],
            "live": {"pipeline": "comfy", "parameters": {"prompt": "mist", "strength": 0.5}},
            "transcoding": {"profiles": [{"name": "720p", "width": 1280, "height": 720, "bitrate": 3_000_000}]},
        },
    }.items()
}


class LedgerView:
    """Grants credits, reads events and totals, and proves them against each other."""

    def __init__(self, store: Store, clocked: Clocked, keys: RedisKeys, folder: Path) -> None:
        self._folder = folder
        self.store = store
        self.clocked = clocked
        self.keys = keys

    def policy(self, plan: str, app: str = "app", key: str = "key") -> Policy:
        return Policy(self.keys, app=app, user=None, key=key, name=plan, plan=PLANS[plan])

    async def grant(self, amount: int, app: str = "app") -> None:
        await grant(self.clocked, self.keys, app, None, amount, reference=f"grant-{amount}")

    async def balance(self, app: str = "app") -> Balance:
        return await balance(self.store, self.keys, app, None)

    async def recorded(self, app: str = "app") -> list[tuple[Event, int]]:
        """Usage events with their amounts, in the order of the stream."""
        entries: Any = await self.store.redis.xrange(self.keys.shared(self.keys.tag(app)).events)
        events = [(DECODER.decode(fields[b"event"]), int(fields[b"amount"])) for _, fields in entries]
        return [(event, amount) for event, amount in events if event.type == "usage" and event.app == app]

    async def lived(self, app: str = "app") -> int:
        """Milliseconds charged."""
        return sum(event.units.get(Unit.MILLISECONDS, 0) for event, _ in await self.recorded(app))

    async def holds(self) -> int:
        """Open holds, of all apps."""
        return sum([await self.store.redis.zcard(self.keys.shared(tag).holds) for tag in self.keys.tags])

    async def reap(self) -> list[Hold]:
        """Let the reaper end what has expired; the orphans it reports."""
        orphans: list[Hold] = []
        losses: list[str] = []
        settler = Settler(self.clocked, self.keys, never_rejected)
        await Reaper(self.clocked, self.keys, settler, orphans.append, losses.append).sweep()
        assert not losses
        return orphans

    async def check(self, plans: dict[str, Plan] | None = None) -> None:
        """`tollgate verify` has nothing to say."""
        differences, _ = await verify_in(self._folder, self.store.redis, self.keys, PLANS if plans is None else plans)
        assert differences == []
