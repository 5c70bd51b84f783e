"""The arithmetic of a session: a stream that is charged by ticks. Pure functions; times are Redis time in Unix ms.

The gateway reports every few seconds which streams are active (gateway contract section 5.3), and does not report their
ends. So a session is a chain of holds: each tick ends the hold before, whose event is the time since the last tick, and
opens the next. Once a stream is not reported any more, its hold expires, and that is its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from config.workloads import COUNTED, SaleUnit, Unit, Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.pricing import PriceLine, amount_of
from middlewares.ledger.model import Hold, Provenance, Settlement
from middlewares.ledger.settlement.event import ENCODER, of_hold
from middlewares.ledger.settlement.settler import released

STREAM_TICK_MS = 30_000
"""How often Tollgate ticks the streams that no gateway reports."""

TIMED = frozenset({Unit.REQUESTS, Unit.MILLISECONDS})
"""The only units that a session uses: its time, and one request."""

NETWORK_PIXELS_PER_MILLISECOND = 1280 * 720 * 30 // 1_000
"""Pixels that the gateway pays for, whatever the real size and rate of a stream (gateway contract section 6.1)."""


class Rate(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A price line as it was when the hold was opened: a tick costs what the plan version in its event says."""

    unit: SaleUnit
    amount: str
    per: int

    @property
    def line(self) -> PriceLine:
        """Return the price line it was made of."""
        return PriceLine(self.unit, COUNTED[self.unit][0], int(self.amount), self.per)


class Session(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """State of a stream between two ticks, kept in Redis as JSON."""

    id: str
    """ULID. The event of its nth tick has the id `<id>-<n>`, and so has the hold until then."""
    stream: str
    """Its stream id at the gateway."""
    hold: Hold
    """The hold of the tick to come."""
    rates: tuple[Rate, ...]
    """Its prices, without those that an allowance can change."""
    tier: str
    seen_ms: int
    """When its last tick was; before the first, when it was admitted."""
    milliseconds: int = 0
    """How long it has lived, by its ticks so far."""


class Leases(NamedTuple):
    """The concurrency leases of the request that began a stream, which the stream takes over."""

    request_id: str
    keys: Sequence[str]


NO_LEASES = Leases("", ())


def rates_of(lines: Iterable[PriceLine]) -> tuple[Rate, ...]:
    """Return those of the price lines that a session can use."""
    return tuple(Rate(line.unit, str(line.amount), line.per) for line in lines if TIMED.issuperset(line.counted))


def units_of(part: int, lived: int) -> dict[Unit, int]:
    """Return what tick number `part`, from 1, uses if the stream has lived for `lived` milliseconds since the last."""
    used = {Unit.MILLISECONDS: lived}
    return {Unit.REQUESTS: 1, **used} if part == 1 else used


def price_of(rates: Iterable[Rate], part: int, before: int, lived: int) -> int:
    """Return the amount of that tick for a stream that had lived for `before`: of all its time, less what was charged.

    So the amounts of a session add up to that of its time, rounded up once.
    """
    lines = [rate.line for rate in rates]
    after = amount_of(lines, {Unit.REQUESTS: 1, Unit.MILLISECONDS: before + lived})
    return after if part == 1 else after - amount_of(lines, {Unit.REQUESTS: 1, Unit.MILLISECONDS: before})


def network_units(workload: Workload, before: int, lived: int) -> int:
    """Return what the network is paid for a tick (gateway contract section 6.1), after `before` milliseconds of ticks.

    Live video is paid by the pixel, whatever its real size; BYOC by the second that was begun.
    """
    if workload is Workload.LIVE_VIDEO_TO_VIDEO:
        return lived * NETWORK_PIXELS_PER_MILLISECOND
    return -(-(before + lived) // 1000) + -before // 1000


def lived(since: int, now: int, *, tick: int, gap: int, first: bool) -> int:
    """Return the milliseconds for which a stream has lived that was seen at `since` and is reported `now`.

    A silence of at most `gap` counts in full, because ticks get lost. A longer one was a pause and counts nothing, and
    so does a step back of the clock. Up to its `first` tick a stream counts one `tick` at most: it was on its way to
    an orchestrator.
    """
    elapsed = now - since
    if not 0 <= elapsed <= gap:
        return 0
    return min(elapsed, tick) if first else elapsed


def echoes(since: int, now: int, tick: int) -> bool:
    """Return True if a tick repeats the last one, or is another gateway's: the next tick counts its time, too."""
    return 0 <= 2 * (now - since) < tick


def end_of_tick(session: Session, now: int, elapsed: int, provenance: Provenance) -> Settlement:
    """Return the end of the session's hold, after it has lived for `elapsed` milliseconds more."""
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


def same_owner(hold: Hold, policy: Policy, model: str) -> bool:
    """Return True if a hold is of that principal and model."""
    return (hold.app, hold.user, hold.key, hold.model) == (policy.app, policy.user, policy.key, model)
