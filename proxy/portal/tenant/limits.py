"""How full the limits of an app are, and what runs for it now. Nothing is reserved or changed by looking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from config.plans import Plan
from config.runtime import Currency
from config.workloads import SaleUnit
from middlewares.auth.records import AppRecord
from middlewares.ledger.admission.rules import SLOTS, LimitRule, rules_of
from middlewares.ledger.model import Hold
from middlewares.ledger.periods import TOTAL, period_ends, period_of
from proxy.history.reader import LedgerSources
from proxy.portal import words
from proxy.portal.charts import LENGTH, bar
from proxy.reporting.tables import decimal
from proxy.store.clients import now_ms

_HOLD = msgspec.json.Decoder(Hold)
_PERIODS = {"d": "each day", "m": "each month", "t": "in all"}
_WINDOWS = {60: "in a minute", 86_400: "in 24 hours"}
_SCOPES = {"app": "the app", "user": "each user", "key": "each key"}


@dataclass(frozen=True, slots=True)
class LimitUse:
    """A limit of the plan. Numbers are in the unit that the operator declared."""

    name: str
    scope: str
    """Whom it is for."""
    limit: str
    used: str | None = None
    """None: there is one count for each user or key, and none for all."""
    reserved: str = ""
    """What running requests may still use of it, beside `used`; empty: nothing."""
    bar: int = 0
    """Length of the bar of what is used and reserved, beside that of the whole limit."""
    ends: datetime | None = None
    """When the period of a cap is over."""
    shadow: bool = False
    """True: it refuses nothing, and is only watched."""


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """A request that was admitted and has not ended."""

    hold: Hold

    @property
    def started(self) -> datetime:
        """Return when it was admitted."""
        return datetime.fromtimestamp(self.hold.started_ms / 1_000, UTC)


async def read_limits(sources: LedgerSources, app: AppRecord, plan: Plan, currency: Currency) -> list[LimitUse]:
    """Return the limits of an app's plan, in the order in which they are checked.

    Limits of the whole deployment are the operator's own, and are left out. Raises what the client of Redis does.
    """
    found = rules_of(sources.keys, app=app.client_id, user=None, key="each", name=app.plan, plan=plan)
    by_scope = [(each.policy.partition("-")[0], each) for each in found if each.kind != "b"]
    shared = [rule for scope, rule in by_scope if scope == "app"]
    now = await now_ms(sources.client)
    pipeline: Any = sources.client.pipeline(transaction=False)
    for rule in shared:
        _read(pipeline, rule, now)
    replies = await pipeline.execute() if shared else []
    uses = [_use(rule, reply, now, currency) for rule, reply in zip(shared, replies, strict=True)]
    return uses + [
        LimitUse(_name(rule), _SCOPES[scope], _quantity(rule.limit, rule, currency), shadow=rule.shadow)
        for scope, rule in by_scope
        if scope in ("user", "key")
    ]


async def running_requests(sources: LedgerSources, app: str) -> list[RunningRequest]:
    """Return what runs for an app, the oldest first: requests, and the ticks of live streams."""
    bodies: Any = sources.client.hscan_iter(sources.keys.shared(sources.keys.tag(app)).bodies, count=1_000)
    holds = [_HOLD.decode(body) async for name, body in bodies if app.encode() in body and b":" not in name]
    return sorted((RunningRequest(each) for each in holds if each.app == app), key=lambda each: each.hold.started_ms)


def _read(pipeline: Any, rule: LimitRule, now: int) -> None:
    [name] = rule.keys
    if rule.kind == "w":
        pipeline.hgetall(name)
    elif rule.kind == "c":
        pipeline.zcount(name, f"({now}", "+inf")
    else:
        pipeline.hmget(name, (f"used:{period_of(rule.kind, now)}", "held"))


def _use(rule: LimitRule, reply: Any, now: int, currency: Currency) -> LimitUse:
    used, reserved = _counted(rule, reply, now)
    period = period_of(rule.kind, now) if rule.kind in _PERIODS else TOTAL
    ends = None if period == TOTAL else datetime.fromtimestamp(period_ends(rule.kind, now) / 1_000, UTC)
    return LimitUse(
        name=_name(rule),
        scope=_SCOPES["app"],
        limit=_quantity(rule.limit, rule, currency),
        used=_quantity(used, rule, currency),
        reserved=_quantity(reserved, rule, currency) if reserved else "",
        bar=min(LENGTH, bar(used + reserved, rule.limit)),
        ends=ends,
        shadow=rule.shadow,
    )


def _counted(rule: LimitRule, reply: Any, now: int) -> tuple[int, int]:
    """Return what is used and what is reserved, in counted units."""
    if rule.kind == "c":
        return int(reply), 0
    if rule.kind == "w":
        first = now // rule.parameter - SLOTS
        return sum(int(count) for slot, count in reply.items() if slot.isdigit() and int(slot) >= first), 0
    used, held = _numbers(reply)
    return used, held


def _numbers(values: Sequence[bytes | None]) -> list[int]:
    return [int(value or b"0") for value in values]


def _name(rule: LimitRule) -> str:
    """Return the limit in words, such as `Requests in a minute`."""
    what = words.unit(rule.unit).capitalize()
    if rule.kind == "c":
        return what
    if rule.kind == "w":
        return f"{what} {_WINDOWS[rule.window_seconds or 60]}"
    return f"{what} {_PERIODS[rule.kind]}"


def _quantity(number: int, rule: LimitRule, currency: Currency) -> str:
    """Return counted units in those that the operator declared, cut after the third decimal."""
    if rule.sale_unit is SaleUnit.AMOUNT:
        return f"{decimal(number, currency.decimals)} {currency.code}"
    return decimal(number * 1_000 // rule.factor, 3)
