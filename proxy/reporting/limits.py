"""How full limits are, and what runs for an app now. Nothing is reserved or changed by looking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from middlewares.ledger.admission.rules import SLOTS, LimitRule
from middlewares.ledger.group_commit.running import shown_by_workers
from middlewares.ledger.model import Hold
from middlewares.ledger.periods import TOTAL, period_ends, period_of
from proxy.history.reader import LedgerSources
from proxy.store.clients import now_ms

_HOLD = msgspec.json.Decoder(Hold)
_CAPS = ("d", "m", "t")


@dataclass(frozen=True, slots=True)
class RuleUse:
    """A limit, and what is used of it. Numbers are in counted units, or in atomic units of money."""

    rule: LimitRule
    used: int
    reserved: int
    """What running requests may still use of it, beside `used`."""
    ends: datetime | None
    """When the period of a cap is over."""


async def read_uses(sources: LedgerSources, rules: Sequence[LimitRule]) -> list[RuleUse]:
    """Return how full these limits are now; those of a balance are not among them. Raises what the client does."""
    now = await now_ms(sources.client)
    pipeline: Any = sources.client.pipeline(transaction=False)
    for rule in rules:
        _read(pipeline, rule, now)
    replies = await pipeline.execute() if rules else []
    return [_use(rule, reply, now) for rule, reply in zip(rules, replies, strict=True)]


async def running_holds(sources: LedgerSources, app: str) -> list[Hold]:
    """Return what runs for an app, the oldest first: requests, and the ticks of live streams."""
    tag = sources.keys.tag(app)
    found = {each.request_id: each for each in await stored_holds(sources, tag, app.encode()) if not each.shared}
    found |= {each.request_id: each for each, _ in await shown_holds(sources, tag)}
    return sorted((each for each in found.values() if each.app == app), key=lambda each: each.started_ms)


async def stored_holds(sources: LedgerSources, tag: str, part: bytes) -> list[Hold]:
    """Return the holds of a tag in Redis whose JSON has `part` in it; only these are decoded."""
    bodies: Any = sources.client.hscan_iter(sources.keys.shared(tag).bodies, count=1_000)
    wanted = {name: body async for name, body in bodies if part in body and b":" not in name}  # a scan may repeat some
    return [_HOLD.decode(body) for body in wanted.values()]


async def shown_holds(sources: LedgerSources, tag: str) -> list[tuple[Hold, int]]:
    """Return the holds of a tag that workers show, as no other process has them, each with the time it is known for."""
    client: Any = sources.client
    if not (values := await client.hvals(sources.keys.running(tag))):
        return []
    shown = shown_by_workers(values, await now_ms(client))
    return [(hold, each.until_ms) for each in shown for hold in each.holds]


def _read(pipeline: Any, rule: LimitRule, now: int) -> None:
    [name] = rule.keys
    if rule.kind == "w":
        pipeline.hgetall(name)
    elif rule.kind == "c":
        pipeline.zcount(name, f"({now}", "+inf")
    else:
        pipeline.hmget(name, (f"used:{period_of(rule.kind, now)}", "held"))


def _use(rule: LimitRule, reply: Any, now: int) -> RuleUse:
    used, reserved = _counted(rule, reply, now)
    period = period_of(rule.kind, now) if rule.kind in _CAPS else TOTAL
    ends = None if period == TOTAL else datetime.fromtimestamp(period_ends(rule.kind, now) / 1_000, UTC)
    return RuleUse(rule, used, reserved, ends)


def _counted(rule: LimitRule, reply: Any, now: int) -> tuple[int, int]:
    if rule.kind == "c":
        return int(reply), 0
    if rule.kind == "w":
        first = now // rule.parameter - SLOTS
        return sum(int(count) for slot, count in reply.items() if slot.isdigit() and int(slot) >= first), 0
    used, held = (int(value or b"0") for value in reply)
    return used, held
