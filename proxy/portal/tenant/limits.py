"""How full the limits of an app are, and what runs for it now, in words."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ulid import ULID

from config.plans import Plan
from config.runtime import Currency
from config.workloads import SaleUnit
from middlewares.auth.records import AppRecord
from middlewares.ledger.admission.rules import LimitRule, fallback_prefix, fallback_rules, rules_of
from middlewares.ledger.model import Hold
from proxy.history.reader import LedgerSources
from proxy.portal import words
from proxy.portal.charts import LENGTH, bar
from proxy.reporting.limits import RuleUse, read_uses, running_holds
from proxy.reporting.tables import decimal, grouped, readable_amount

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
    reached: bool = False
    """True: nothing is left of a cap, which refuses until its period is over. Windows fill and empty all the time."""
    shadow: bool = False
    """True: it refuses nothing, and is only watched."""


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """A request, or a stream, that was admitted and has not ended."""

    hold: Hold

    @property
    def started(self) -> datetime:
        """Return when it was admitted; the hold of a stream begins with its last tick, and its id with the stream."""
        hold = self.hold
        if hold.part:
            with suppress(ValueError):
                return ULID.from_str(hold.request_id.rpartition("-")[0]).datetime
        return datetime.fromtimestamp(hold.started_ms / 1_000, UTC)


async def read_limits(sources: LedgerSources, app: AppRecord, plan: Plan, currency: Currency) -> list[LimitUse]:
    """Return the limits of an app's plan, in the order in which they are checked, and then those of its fallbacks.

    Limits of the whole deployment are the operator's own, and are left out. Raises what the client of Redis does.
    """
    keys, of, name = sources.keys, app.client_id, app.plan
    uses = await _uses(sources, rules_of(keys, app=of, user=None, key="each", name=name, plan=plan), currency)
    for fallback in plan.fallbacks:
        rules = fallback_rules(keys, app=of, user=None, family="each", name=name, fallback=fallback)
        served = f"{words.workload(fallback.workload)} that falls back" if fallback.workload else "what falls back"
        for use in await _uses(sources, rules, currency, fallback_prefix(fallback)):
            uses.append(replace(use, name=f"{use.name}, of {served}"))
    return uses


async def _uses(
    sources: LedgerSources, rules: Iterable[LimitRule], currency: Currency, prefix: str = ""
) -> list[LimitUse]:
    """Return the limits of these rules, whose policies begin with the prefix: first those of the app."""
    by_scope = [(each.policy.removeprefix(prefix).partition("-")[0], each) for each in rules if each.kind != "b"]
    shared = [rule for scope, rule in by_scope if scope == "app"]
    uses = [_shown(use, currency) for use in await read_uses(sources, shared)]
    return uses + [
        LimitUse(_name(rule), _SCOPES[scope], _quantity(rule.limit, rule, currency), shadow=rule.shadow)
        for scope, rule in by_scope
        if scope in ("user", "key")
    ]


async def running_requests(sources: LedgerSources, app: str) -> list[RunningRequest]:
    """Return what runs for an app, the oldest first: requests, and live streams."""
    return oldest_first(await running_holds(sources, app))


def oldest_first(holds: Iterable[Hold]) -> list[RunningRequest]:
    """Return what these holds are of, in the order in which it began."""
    return sorted(map(RunningRequest, holds), key=lambda each: each.started)


def _shown(use: RuleUse, currency: Currency) -> LimitUse:
    rule = use.rule
    return LimitUse(
        name=_name(rule),
        scope=_SCOPES["app"],
        limit=_quantity(rule.limit, rule, currency),
        used=_quantity(use.used, rule, currency),
        reserved=_quantity(use.reserved, rule, currency) if use.reserved else "",
        bar=min(LENGTH, bar(use.used + use.reserved, rule.limit)),
        ends=use.ends,
        reached=rule.kind in _PERIODS and use.used + use.reserved >= rule.limit and not rule.shadow,
        shadow=rule.shadow,
    )


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
        return readable_amount(number, currency)
    return grouped(decimal(number * 1_000 // rule.factor, 3))
