"""The expected running totals of the ledger, computed from events and open holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.event_policy import policy_of_event
from middlewares.ledger.admission.key_limits import KeyTerms
from middlewares.ledger.model import Hold, HoldEntry
from middlewares.ledger.periods import day_of, period_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import Event
from middlewares.ledger.settlement.settle_call import requests_of, totals_of, used_of
from proxy.history.batch import Movement

TotalKey = tuple[str, str]
"""Name of a running total: a Redis hash and one of its fields."""

REMEMBERED = 10_000
"""Most principals whose caps and allowances are kept in memory."""
OF_USER = b":wallet"
"""Suffix of a mark beside the body of a hold that reserves from the user's own wallet."""
OF_SHARE = b"|"
"""What stands in the name of a share's record between the share and the key of the rule (`shares/lua/amounts.lua`)."""
_HOLD = msgspec.json.Decoder(Hold).decode


class Expected:
    """Adds up events and holds. Caps and allowances are known only for the plan versions of `plans`."""

    def __init__(self, keys: RedisKeys, plans: Mapping[str, Plan]) -> None:
        self.totals: defaultdict[TotalKey, int] = defaultdict(int)
        self.families: Mapping[str, str] = {}
        """Key id -> the id under which its use is counted, of keys that replaced another."""
        self._keys = keys
        self._plans = {f"{name}@{plan.version}": (name, plan) for name, plan in plans.items()}
        self._entries: dict[tuple[str, str | None, str | None, str, str], tuple[HoldEntry, ...]] = {}
        self._unknown: set[tuple[str, str]] = set()

    def event(self, event: Event, amount: int, wallet: str, gross: int) -> None:
        """Count one event, with its amount, the wallet it changed (if any), and its price before included money."""
        if wallet:
            key = self._keys.wallet(event.app, event.user if wallet == "user" else None)
            self.totals[key, "granted" if event.type == "credit" else "spent"] += amount
        if event.type == "credit":
            return
        usage = self._keys.usage(event.app, day_of(event.time))
        head = totals_of(event.user, event.key, event.workload, event.model)
        self.totals[usage, head + "requests"] += requests_of(event.part, adjustment=event.type == "adjustment")
        for unit, number in event.units.items():
            if unit is not Unit.REQUESTS:
                self.totals[usage, head + unit] += number
        self.totals[usage, head + "amount"] += amount
        for entry in self._entries_of(event):
            used = used_of(entry, event.units)
            money = gross if entry.kind == "a" else amount
            field = f"used:{period_of(entry.per or entry.kind, event.time)}"
            self.totals[entry.keys[0], field] += money if used == "amount" else int(used)

    def sums_of_wallets(self, sums: Mapping[tuple[str, str], Movement]) -> None:
        """Count what events that may be pruned changed in wallets, by app and user (empty: the app's own)."""
        for (app, user), movement in sums.items():
            key = self._keys.wallet(app, user or None)
            self.totals[key, "granted"] += movement.granted - movement.debited
            self.totals[key, "spent"] += movement.spent

    def holds(self, bodies: Mapping[bytes, bytes]) -> list[str]:
        """Count what open holds and shares have reserved, and return the request ids of the holds."""
        requests = []
        for name, body in bodies.items():
            _, _, rule = name.partition(OF_SHARE)
            if rule:
                admitted, committed, _ = map(int, body.split())
                self.totals[rule.decode(), "held"] += admitted - committed
                continue
            if name.endswith(OF_USER):
                continue
            of_user = name + OF_USER in bodies
            for entry in _HOLD(body).entries:
                if entry.kind in "dmtb":
                    key = entry.keys[-1] if of_user and entry.kind == "b" else entry.keys[0]
                    self.totals[key, "held"] += int(entry.held)
            requests.append(name.decode())
        return requests

    def unknown(self, total: TotalKey) -> bool:
        """Return True if events of an unknown plan version may have been counted in this cap or allowance."""
        key, field = total
        _, _, name = key.partition("}:")
        kind, _, rest = name.partition(":")
        subject = rest.rsplit(":", 2)[0]
        return kind in ("cap", "included", "allowance") and (subject, field.removeprefix("used:")) in self._unknown

    def _entries_of(self, event: Event) -> tuple[HoldEntry, ...]:
        """Return the caps and allowances that an event counts in."""
        if event.plan not in self._plans:
            family = self.families.get(event.key or "", event.key)
            subjects = f"key:{family}", f"user:{event.app}:{event.user or ''}", f"app:{event.app}"
            for subject in (*subjects, f"global:{event.plan.rpartition('@')[0]}"):
                self._unknown.update((subject, period_of(kind, event.time)) for kind in "dm")
            return ()
        served = f"{event.workload} {event.model}" if event.fallback else ""
        principal = event.app, event.user, event.key, event.plan, served
        entries = self._entries.get(principal)
        if entries is None:
            name, plan = self._plans[event.plan]
            family = self.families.get(event.key or "")
            policy = policy_of_event(self._keys, event, name, plan, KeyTerms(family) if family else None)
            _, reserved = policy.reserve({}, 0, ())
            entries = tuple(entry for entry in reserved if entry.kind in "dma")
            if len(self._entries) >= REMEMBERED:
                self._entries.clear()
            self._entries[principal] = entries
        return entries
