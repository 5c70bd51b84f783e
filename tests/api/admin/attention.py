"""Events that need attention, written by the ledger's own script."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from ulid import ULID

from config.workloads import Unit, Workload
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.settlement.event import ENCODER, iso, of_hold
from middlewares.ledger.settlement.settle_call import settle_call
from proxy.store.clients import now_ms
from proxy.store.configured import redis_keys
from tests.support.deployment import Deployment


@dataclass(frozen=True)
class Marked:
    """An event that needs attention."""

    id: str
    time: int

    @property
    def time_text(self) -> str:
        """Return when it ended, as RFC 3339."""
        return iso(self.time)


async def needs_attention(
    deployment: Deployment, app: str, *, amount: int = 0, reserved: int | None = None, key: str | None = None
) -> Marked:
    """Write an event of an app that was charged `amount`; with `reserved`, it is an orphan that had that reserved."""
    settings = deployment.settings
    keys = redis_keys(settings)
    async with deployment.store() as store:
        now = await now_ms(store.redis)
        plan = settings.all_plans()["unlimited"]
        hold = Hold(
            request_id=str(ULID()),
            app=app,
            user=None,
            key=key,
            plan=f"unlimited@{plan.version}",
            workload=Workload.LLM,
            model="m",
            started_ms=now,
        )
        event = of_hold(hold, now, "complete" if reserved is None else "orphaned")
        event.attention, event.reserved_amount = True, "" if reserved is None else str(reserved)
        event.units = {Unit.REQUESTS: 1}
        settlement = Settlement(
            hold=hold, event=msgspec.Raw(ENCODER.encode(event)), time_ms=now, units=event.units, amount=str(amount)
        )
        reply = await store.run(settle_call(keys, settlement, "record"))
        assert reply[0] == 1
        if reserved is not None:  # the marker that the reaper leaves has expired
            await store.redis.delete(keys.marker(app, hold.request_id))
    return Marked(hold.request_id, now)
