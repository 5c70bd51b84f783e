"""Writes past requests into the ledger, by the way that every request takes: a hold, and its settlement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry
from ulid import ULID

from config.plans import Plan
from config.settings import Settings
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Admitted, Provenance, Usage
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import Event
from proxy.cli.demo.tenants import DemoTenant
from proxy.cli.demo.week import PastRequest
from proxy.server.ledger_metrics import LedgerObserver
from proxy.store.configured import redis_keys
from proxy.store.store import Store

_AT_ONCE = 50


async def record_week(
    settings: Settings, store: Store, tenants: Sequence[DemoTenant], requests: Sequence[PastRequest]
) -> None:
    """Record the requests, each at its own time and at the price of its tenant's plan."""
    plans = [settings.all_plans()[each.app.plan] for each in tenants]
    with TemporaryDirectory() as folder:
        keys = redis_keys(settings)
        ledger = _ledger(settings, store, keys, Path(folder))
        for start in range(0, len(requests), _AT_ONCE):
            batch = requests[start : start + _AT_ONCE]
            await asyncio.gather(
                *(_record(ledger, keys, plans[each.tenant], tenants[each.tenant], each) for each in batch)
            )
        await ledger.drain()


async def _record(ledger: Ledger, keys: RedisKeys, plan: Plan, tenant: DemoTenant, past: PastRequest) -> None:
    app, (key, user) = tenant.app, tenant.keys[past.who]
    real = ledger.policy(app.client_id, user, key, app.plan, plan)
    unhurried = Policy(keys, app=app.client_id, user=user, key=key, name=app.plan, plan=_without_rates(plan))
    started = past.time_ms - past.duration_ms
    request_id = str(ULID.from_timestamp(started / 1_000))
    admitted = await ledger.admit(request_id, unhurried, workload=past.workload, model=past.model, units={})
    if not isinstance(admitted, Admitted):
        raise RuntimeError(f"The ledger does not admit past requests: {admitted}")
    event = Event(
        id=request_id,
        time=past.time_ms,
        started=started,
        app=app.client_id,
        user=user,
        key=key,
        plan=real.plan_id,
        workload=past.workload,
        model=past.model,
        outcome=past.outcome,
        units=dict(past.units),
        provenance=dict.fromkeys(past.units, Provenance.MEASURED),
        status=past.status,
        gateway_status=past.gateway_status,
        tier=plan.tier,
        duration_ms=past.duration_ms,
        upstream_ms=past.duration_ms,
    )
    amount, _ = ledger.price(real, past.workload, past.model, past.units)
    ledger.settle(admitted.hold, event, Usage(dict(past.units)), amount)


def _without_rates(plan: Plan) -> Plan:
    """Return a plan without limits of a minute or a day, which say nothing of requests that are days old."""
    none = {"requests_per_minute": None, "requests_per_day": None, "concurrent": None}
    limits = plan.limits
    scopes = {name: getattr(limits, name).model_copy(update=none) for name in type(limits).model_fields}
    return plan.model_copy(update={"limits": limits.model_copy(update=scopes)})


def _ledger(settings: Settings, store: Store, keys: RedisKeys, folder: Path) -> Ledger:
    return Ledger(
        store,
        keys,
        data_dir=folder,
        hold_ttl=settings.hold_ttl,
        deadline=10,
        workers=1,
        journal_bytes=1 << 20,
        replay_window=settings.ledger.replay_window_seconds,
        observer=LedgerObserver(CollectorRegistry()),
    )
