"""A live session: a stream that is paid for by the tick of its gateway's heartbeat.

The gateway says every few seconds which streams live (gateway contract section 5.3), and says nothing of their ends.
So a session is a chain of holds: each tick ends the one before, whose event is the time since the last tick, and opens
the next. What is not reported any more lets its hold expire, and that is its end. Pure; times are Redis time in Unix
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from config.workloads import COUNTED, SaleUnit, Unit, Workload
from middlewares.ledger.admission.pricing import PriceLine, amount_of
from middlewares.ledger.model import Hold

STREAM_TICK_MS = 30_000
"""How often the gate ticks streams that no gateway tells of."""

TIMED = frozenset({Unit.REQUESTS, Unit.MILLISECONDS})
"""All that a session uses: the time it lived, and being one."""

NETWORK_PIXELS_PER_MILLISECOND = 1280 * 720 * 30 // 1_000
"""What the gateway pays by, whatever the real size and rate of a stream (gateway contract section 6.1)."""


class Rate(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A price line as a session remembers it, so that a tick costs what the plan said that its event names."""

    unit: SaleUnit
    amount: str
    per: int

    @property
    def line(self) -> PriceLine:
        """The line it was made of."""
        return PriceLine(self.unit, COUNTED[self.unit][0], int(self.amount), self.per)


class Session(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is known of a live stream between two ticks."""

    id: str
    """ULID. The event of its nth tick is `<id>-<n>`, and so is the hold until then."""
    stream: str
    """Its stream id at the gateway."""
    hold: Hold
    """Of the tick to come."""
    rates: tuple[Rate, ...]
    """Its prices, without those that an allowance can change."""
    tier: str
    seen_ms: int
    """The last tick; at first, when it was admitted."""
    milliseconds: int = 0
    """How long it has lived, as its ticks have told."""


def rates_of(lines: Iterable[PriceLine]) -> tuple[Rate, ...]:
    """Those of the price lines that a session can use."""
    return tuple(Rate(line.unit, str(line.amount), line.per) for line in lines if TIMED.issuperset(line.counted))


def units_of(part: int, lived: int) -> dict[Unit, int]:
    """What the tick of that number uses, from 1, that finds the stream to have lived for `lived` milliseconds more."""
    used = {Unit.MILLISECONDS: lived}
    return {Unit.REQUESTS: 1, **used} if part == 1 else used


def price_of(rates: Iterable[Rate], part: int, before: int, lived: int) -> int:
    """What that tick costs a stream that had lived for `before`: the price of all its time, less what was charged.

    So the amounts of a session add up to that of its time, rounded up once.
    """
    lines = [rate.line for rate in rates]
    after = amount_of(lines, {Unit.REQUESTS: 1, Unit.MILLISECONDS: before + lived})
    return after if part == 1 else after - amount_of(lines, {Unit.REQUESTS: 1, Unit.MILLISECONDS: before})


def network_units(workload: Workload, before: int, lived: int) -> int:
    """What the network is paid for a tick (gateway contract section 6.1), after `before` milliseconds that were told.

    Live video by the pixel, whatever its real size; BYOC by the second that was begun.
    """
    if workload is Workload.LIVE_VIDEO_TO_VIDEO:
        return lived * NETWORK_PIXELS_PER_MILLISECOND
    return -(-(before + lived) // 1000) + -before // 1000


def lived(since: int, now: int, *, tick: int, gap: int, first: bool) -> int:
    """For how many milliseconds a stream has lived that was seen at `since` and is reported `now`.

    It has lived through a silence of at most `gap`: ticks get lost. What is longer was a pause and counts nothing, and
    so does a step back of the clock. Before its `first` tick a stream has lived for one `tick` at most: it was on its
    way to an orchestrator.
    """
    elapsed = now - since
    if not 0 <= elapsed <= gap:
        return 0
    return min(elapsed, tick) if first else elapsed


def echoes(since: int, now: int, tick: int) -> bool:
    """Whether this tick repeats the last one, or is that of another gateway: the next one counts its time, too."""
    return 0 <= 2 * (now - since) < tick
