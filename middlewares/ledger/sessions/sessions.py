"""Admits sessions of streams and moves them on, tick by tick; all that is known of them is in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from ulid import ULID

from config.workloads import Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Denied, Hold, Provenance, Settlement
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import SESSION, TICK
from middlewares.ledger.sessions.session import (
    Session,
    echoes,
    lived,
    network_units,
    price_of,
    rates_of,
    units_of,
)
from middlewares.ledger.settlement.event import ENCODER, of_hold
from middlewares.ledger.settlement.settler import SETTLE_SECONDS, released, settle_call
from middlewares.store import ScriptRunner

LIVE = Workload.LIVE_VIDEO_TO_VIDEO
REMEMBERED_MS = 86_400_000
"""A stream that is reported again within this time of its last tick goes on; later it has to be admitted anew."""
HOLD_SLACK_MS = 5_000
"""How much longer than the longest gap a hold lives, so that no tick within the gap finds it gone."""
_DECODE = msgspec.json.Decoder(Session).decode
_CHANGED, _REFUSED, _ADMITTED = -2, 0, 1

Arguments = list[str | bytes | int]


class Found(NamedTuple):
    """A session as it was read at some moment."""

    now: int
    """Redis time, Unix milliseconds."""
    text: bytes
    session: Session


class Slots(NamedTuple):
    """A request that gives up its slots."""

    request: str
    leases: Sequence[str]


NO_SLOTS = Slots("", ())


class Sessions:
    """The sessions of all apps that are of one workload."""

    def __init__(
        self, runner: ScriptRunner, keys: RedisKeys, *, tick: int, gap: int, workload: Workload = LIVE
    ) -> None:
        """`tick` is the heartbeat's interval, `gap` the longest silence that counts as life; both in milliseconds.

        Of live streams a gateway tells. Of others the gate itself knows when they began, and it ticks them itself.
        """
        self._runner = runner
        self._keys = keys
        self._tick = tick
        self._gap = gap
        self._workload = workload
        self._told = workload is LIVE

    async def find(self, app: str, stream: str) -> Found | None:
        """The session of that stream, living or paused; None where none was admitted. Raises `StoreError`."""
        now, text = await self._read(self._key(app, stream))
        return Found(now, text, _DECODE(text)) if text else None

    async def begin(self, stream: str, policy: Policy, model: str, *, request: str = "") -> Denied | None:
        """Admit a stream, or say which limit refuses it. Raises `StoreError`.

        One that lives already, for the same principal and model, goes on: its client has come back to it. `request` is
        the id of the request that began it, if there was one: the rate limits have counted that, and the stream takes
        over its slot of the concurrency.
        """
        if request:
            policy = policy.without("w")
        slots = Slots(request, [key for rule in policy.rules if rule.kind == "c" for key in rule.keys])
        key = self._key(policy.app, stream)
        while True:
            now, text = await self._read(key)
            old = _DECODE(text) if text else None
            if old and 0 <= now - old.seen_ms <= self._gap and _same(old.hold, policy, model):
                return None
            ends = self._left(old, now) if old else None
            begins = self._next(str(ULID()), stream, policy, model, part=1, before=0, now=now)
            reply = await self._move(key, text, ends, (begins, policy), slots)
            if reply[0] == _ADMITTED:
                return None
            if reply[0] == _REFUSED:
                return policy.denied(reply)

    async def follow(self, request: Settlement, stream: str, policy: Policy) -> Denied | None:
        """Let a session begin in the moment that `request` ends, whose hold it takes the place of.

        None: it lives. Otherwise the limit that refuses it; the request has ended all the same. Raises `StoreError`.
        """
        hold = request.hold
        key = self._key(hold.app, stream)
        policy = policy.without("w")  # the request counted there
        while True:
            await self.end(hold.app, stream)  # of the same name, and forgotten by its client
            now, text = await self._read(key)
            begins = self._next(hold.request_id, stream, policy, hold.model, part=1, before=0, now=now)
            reply = await self._move(key, text, request, (begins, policy))
            if reply[0] != _CHANGED:
                return None if reply[0] == _ADMITTED else policy.denied(reply)

    async def tick(self, found: Found, policy: Policy | None) -> bool:
        """The stream is reported: charge the time since it was last, and ask for the next tick. False: it must end.

        `policy` is that of its principal, None where that may not use it any more. Raises `StoreError`: whether this
        tick was charged is not known then, and the next one charges what it was not.
        """
        now, text, session = found
        if policy and echoes(session.seen_ms, now, self._tick):
            return True
        hold = session.hold
        first = self._told and hold.part == 1
        elapsed = lived(session.seen_ms, now, tick=self._tick, gap=self._gap, first=first)
        ends = _end(session, now, elapsed, Provenance.UPSTREAM if self._told else Provenance.MEASURED)
        key = self._key(hold.app, session.stream)
        if policy is None:
            await self._move(key, text, ends)
            return False
        part, before = hold.part + ends.forwarded, session.milliseconds + elapsed
        goes_on = self._next(session.id, session.stream, policy, hold.model, part=part, before=before, now=now)
        reply = await self._move(key, text, ends, (goes_on, policy.without("w")))  # it was a request at its beginning
        return reply[0] in (_ADMITTED, _CHANGED)

    async def end(self, app: str, stream: str) -> None:
        """Its client has ended the stream: charge what no tick has told yet. Raises `StoreError`."""
        while found := await self.find(app, stream):
            reply = await self._move(self._key(app, stream), found.text, self._left(found.session, found.now))
            if reply[0] != _CHANGED:
                return

    def _left(self, session: Session, now: int) -> Settlement:
        """The end of a session between two ticks. What no tick has ever told of may not have lived at all."""
        if self._told and session.hold.part == 1:
            return released(session.hold, now)
        elapsed = lived(session.seen_ms, now, tick=self._tick, gap=self._gap, first=False)
        return _end(session, now, elapsed, Provenance.MEASURED)

    def _next(self, id_: str, stream: str, policy: Policy, model: str, *, part: int, before: int, now: int) -> Session:
        """The session until its next tick, for which one tick's price is reserved."""
        units = units_of(part, self._tick)
        prices = policy.prices(self._workload, model)
        rates = rates_of(prices)
        amount = price_of(rates, part, before, self._tick)
        _, entries = policy.reserve(units, amount, prices)
        hold = Hold(
            request_id=f"{id_}-{part}",
            app=policy.app,
            user=policy.user,
            key=policy.key,
            plan=policy.plan_id,
            workload=self._workload,
            model=model,
            started_ms=now,
            estimate=str(amount),
            units=units,
            entries=entries,
            part=part,
        )
        charged = rates_of(policy.fixed(prices))
        return Session(id_, stream, hold, charged, policy.plan.tier, seen_ms=now, milliseconds=before)

    def _key(self, app: str, stream: str) -> str:
        return self._keys.session(app, self._workload, stream)

    async def _read(self, key: str) -> tuple[int, bytes]:
        now, text = await self._runner.run(SESSION, [key], [], deadline=SETTLE_SECONDS)
        return now, text or b""

    async def _move(
        self,
        key: str,
        text: bytes,
        ends: Settlement | None,
        begins: tuple[Session, Policy] | None = None,
        slots: Slots = NO_SLOTS,
    ) -> Any:
        """End one hold and open another under this policy, if the session still is as it was read, `text`.

        Answers as `lua/tick.lua` does.
        """
        keys: Arguments = []
        args: Arguments = []
        if ends:
            settle = settle_call(self._keys, ends, "settle")
            keys, args = settle.all_keys, settle.all_args
        body = ENCODER.encode(begins[0]) if begins else b""
        head: Arguments = [text, body, REMEMBERED_MS, len(slots.leases), slots.request, len(keys), len(args)]
        if begins:
            hold, policy = begins[0].hold, begins[1]
            rules, _ = policy.reserve(hold.units, int(hold.estimate), ())
            keys += policy.admit_keys
            args += [hold.request_id, self._gap + HOLD_SLACK_MS, ENCODER.encode(hold), 0, *rules]
        return await self._runner.run(TICK, [key, *slots.leases, *keys], [*head, *args], deadline=SETTLE_SECONDS)


def _end(session: Session, now: int, elapsed: int, provenance: Provenance) -> Settlement:
    """The end of the session's hold, after it has lived for `elapsed` milliseconds more."""
    hold = session.hold
    if not elapsed:
        return released(hold, now)
    units = units_of(hold.part, elapsed)
    event = of_hold(hold, now, "complete")
    event.units, event.provenance = units, dict.fromkeys(units, provenance)
    event.network_units = network_units(hold.workload, session.milliseconds, elapsed)
    event.tier = session.tier
    event.duration_ms = now - hold.started_ms
    amount = price_of(session.rates, hold.part, session.milliseconds, elapsed)
    return Settlement(hold=hold, event=msgspec.Raw(ENCODER.encode(event)), time_ms=now, units=units, amount=str(amount))


def _same(hold: Hold, policy: Policy, model: str) -> bool:
    """Whether a hold is of that principal and model."""
    return (hold.app, hold.user, hold.key, hold.model) == (policy.app, policy.user, policy.key, model)
