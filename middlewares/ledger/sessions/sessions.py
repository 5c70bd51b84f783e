"""Admits sessions of streams and charges them tick by tick; their whole state is in Redis (`lua/tick.lua`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from ulid import ULID

from config.workloads import Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Denied, Hold, Provenance, Settlement
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import SESSION, TICK
from middlewares.ledger.sessions.session import (
    NO_LEASES,
    Leases,
    Session,
    echoes,
    end_of_tick,
    lived,
    price_of,
    rates_of,
    same_owner,
    units_of,
)
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.settlement.settle_call import settle_call
from middlewares.ledger.settlement.settler import SETTLE_SECONDS, released
from middlewares.store import Call, ScriptRunner

LIVE = Workload.LIVE_VIDEO_TO_VIDEO
PAUSE_MS = 86_400_000
"""A stream that is reported again within this time of its last tick continues; later it has to be admitted anew."""
HOLD_SLACK_MS = 5_000
"""How much longer than the longest gap a hold lives, so that no tick within the gap finds it gone."""
_DECODE = msgspec.json.Decoder(Session).decode
_CHANGED, _REFUSED, _ADMITTED = -2, 0, 1
"""How a reply of `lua/tick.lua` begins: somebody else moved the session on, a limit refuses it, it continues."""

Arguments = list[str | bytes | int]


class SessionSnapshot(NamedTuple):
    """A session as it was read from Redis; it is written back only if it is the same still."""

    now: int
    """Redis time, Unix milliseconds."""
    text: bytes
    """Its JSON, byte for byte."""
    session: Session


class Sessions:
    """The sessions of one workload, of all apps."""

    def __init__(
        self, runner: ScriptRunner, keys: RedisKeys, *, tick: int, gap: int, workload: Workload = LIVE
    ) -> None:
        """`tick` is the heartbeat's interval, `gap` the longest silence that counts as life; both in milliseconds.

        Live streams are reported by their gateway. Other streams Tollgate ticks itself, as it knows when they began.
        """
        self._runner = runner
        self._keys = keys
        self._tick = tick
        self._gap = gap
        self._workload = workload
        self._reported_by_gateway = workload is LIVE

    async def find(self, app: str, stream: str) -> SessionSnapshot | None:
        """Return the app's session of that stream, active or paused; None where it has none. Raises `StoreError`."""
        now, text = await self._read(self._key(app, stream))  # a name that all apps of a hash tag share
        return SessionSnapshot(now, text, found) if text and (found := _DECODE(text)).hold.app == app else None

    async def begin(self, stream: str, policy: Policy, model: str, *, request: str = "") -> Denied | None:
        """Admit a stream, or return which limit refuses it. Raises `StoreError`.

        One that is active already, for the same principal and model, continues: its client has come back to it.
        `request` is the id of the request that began it, if there was one: the rate limits have counted that, and the
        stream takes over its concurrency leases.
        """
        if request:
            policy = policy.without("w")
        leases = Leases(request, [key for rule in policy.rules if rule.kind == "c" for key in rule.keys])
        key = self._key(policy.app, stream)
        while True:
            now, text = await self._read(key)
            old = _DECODE(text) if text else None
            if old and 0 <= now - old.seen_ms <= self._gap and same_owner(old.hold, policy, model):
                return None
            ends = self._end_between_ticks(old, now) if old else None
            begins = self._until_next_tick(str(ULID()), stream, policy, model, part=1, before=0, now=now)
            reply = await self._replace(key, text, ends, (begins, policy), leases)
            if reply[0] == _ADMITTED:
                return None
            if reply[0] == _REFUSED:
                return policy.denied(reply)

    async def follow(self, request: Settlement, stream: str, policy: Policy) -> Denied | None:
        """End `request` and begin a session in its place, both at once.

        Return None where the session is admitted, else the limit that refuses it; the request has ended all the same.
        Raises `StoreError`.
        """
        hold = request.hold
        key = self._key(hold.app, stream)
        policy = policy.without("w")  # the request counted there
        while True:
            await self.end(hold.app, stream)  # an older one of the same name, which its client has forgotten
            now, text = await self._read(key)
            begins = self._until_next_tick(hold.request_id, stream, policy, hold.model, part=1, before=0, now=now)
            reply = await self._replace(key, text, request, (begins, policy))
            if reply[0] != _CHANGED:
                return None if reply[0] == _ADMITTED else policy.denied(reply)

    async def tick(self, snapshot: SessionSnapshot, policy: Policy | None) -> bool:
        """Charge a stream for the time since its last tick and reserve the next; return False if the stream must end.

        `policy` is that of its principal, None where the principal may not use it any more. Raises `StoreError`:
        whether this tick was charged is not known then, and the next one charges what it was not.
        """
        now, text, session = snapshot
        if policy and not self.is_due(snapshot):
            return True
        hold = session.hold
        first = self._reported_by_gateway and hold.part == 1
        elapsed = lived(session.seen_ms, now, tick=self._tick, gap=self._gap, first=first)
        ends = end_of_tick(
            session, now, elapsed, Provenance.UPSTREAM if self._reported_by_gateway else Provenance.MEASURED
        )
        key = self._key(hold.app, session.stream)
        if policy is None:
            await self._replace(key, text, ends)
            return False
        part, before = hold.part + ends.forwarded, session.milliseconds + elapsed
        begins = self._until_next_tick(
            session.id, session.stream, policy, hold.model, part=part, before=before, now=now
        )
        reply = await self._replace(key, text, ends, (begins, policy.without("w")))  # its first request counted there
        return reply[0] in (_ADMITTED, _CHANGED)

    async def end(self, app: str, stream: str) -> None:
        """End a stream at its client's word: charge what no tick has charged yet. Raises `StoreError`."""
        while snapshot := await self.find(app, stream):
            ends = self._end_between_ticks(snapshot.session, snapshot.now)
            reply = await self._replace(self._key(app, stream), snapshot.text, ends)
            if reply[0] != _CHANGED:
                return

    async def end_at_last_tick(self, app: str, stream: str, snapshot: SessionSnapshot | None = None) -> bool:
        """End a stream of which nothing is known since its last tick: that time is not charged. Raises `StoreError`.

        With a `snapshot`, only that one is ended; return False if it has moved on.
        """
        while found := snapshot or await self.find(app, stream):
            ends = released(found.session.hold, found.now)
            reply = await self._replace(self._key(app, stream), found.text, ends)
            if reply[0] != _CHANGED:
                return True
            if snapshot:
                return False
        return True

    def is_due(self, snapshot: SessionSnapshot) -> bool:
        """Return True if a tick would charge the session now, and would not only repeat the last one."""
        return not echoes(snapshot.session.seen_ms, snapshot.now, self._tick)

    def _end_between_ticks(self, session: Session, now: int) -> Settlement:
        """Return the end of a session since its last tick. A live stream without any tick may not have run at all."""
        if self._reported_by_gateway and session.hold.part == 1:
            return released(session.hold, now)
        elapsed = lived(session.seen_ms, now, tick=self._tick, gap=self._gap, first=False)
        return end_of_tick(session, now, elapsed, Provenance.MEASURED)

    def _until_next_tick(
        self, id_: str, stream: str, policy: Policy, model: str, *, part: int, before: int, now: int
    ) -> Session:
        """Return the session until its next tick, number `part`, with the price of one tick reserved.

        `before` is for how many milliseconds it was charged.
        """
        units = units_of(part, self._tick)
        prices = policy.prices(self._workload, model)
        amount = price_of(rates_of(prices), part, before, self._tick)
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
            stream=stream,
        )
        charged = rates_of(policy.fixed(prices))
        return Session(
            id=id_, stream=stream, hold=hold, rates=charged, tier=policy.plan.tier, seen_ms=now, milliseconds=before
        )

    def _key(self, app: str, stream: str) -> str:
        return self._keys.session(app, self._workload, stream)

    async def _read(self, key: str) -> tuple[int, bytes]:
        """Return Redis time in Unix milliseconds, and the session's JSON or nothing."""
        now, text = await self._runner.run(Call(SESSION, (key,)), deadline=SETTLE_SECONDS)
        return now, text or b""

    async def _replace(
        self,
        key: str,
        text: bytes,
        ends: Settlement | None,
        begins: tuple[Session, Policy] | None = None,
        leases: Leases = NO_LEASES,
    ) -> Any:
        """End one hold and open another under this policy, if the session still is as it was read, `text`.

        Return the reply of `lua/tick.lua`.
        """
        keys: Arguments = []
        args: Arguments = []
        if ends:
            settle = settle_call(self._keys, ends, "settle")
            keys, args = settle.all_keys, settle.all_args
        body = ENCODER.encode(begins[0]) if begins else b""
        head: Arguments = [text, body, PAUSE_MS, len(leases.keys), leases.request_id, len(keys), len(args)]
        if begins:
            hold, policy = begins[0].hold, begins[1]
            rules, _ = policy.reserve(hold.units, int(hold.estimate), ())
            keys += policy.admit_keys
            args += [hold.request_id, self._gap + HOLD_SLACK_MS, ENCODER.encode(hold), 0, *rules]
        call = Call(TICK, (key, *leases.keys, *keys), (*head, *args))
        return await self._runner.run(call, deadline=SETTLE_SECONDS)
