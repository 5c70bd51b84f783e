"""Stripe's billing meters, which find repeats by `identifier`."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from proxy.reporting.export.formats import EventFormat, ReceiverNames
from proxy.reporting.export.http import HttpReceiver, ReceiverResponse
from proxy.reporting.export.sinks import Poisoned, TryLater
from proxy.reporting.stream import RecordedEvent

OLDEST_MS = 35 * 86_400_000
"""Oldest event that Stripe takes (docs.stripe.com/api/billing/meter-event/create)."""
NEWEST_MS = 5 * 60_000
"""How far ahead of its clock Stripe takes an event."""
MOST_DIGITS = 15
"""Longest value. Stripe checks values after it has accepted an event, and then drops it in silence."""

_AT_ONCE = 20
_THERE = ("duplicate_meter_event", "already exists with identifier")


class StripeSink:
    """Sends `POST /v1/billing/meter_events`, one request for each event, as only these are checked before they count.

    Stripe takes one request at a time for each customer and meter, and knows an identifier for at least 24 hours. Ids
    that it has accepted are not sent again while the rest of their batch is repeated.
    """

    def __init__(
        self,
        url: str,
        form: EventFormat,
        names: ReceiverNames,
        headers: Callable[[], dict[str, str]],
        timeout: float,
        *,
        now_ms: Callable[[], float] = lambda: time.time() * 1_000,
    ) -> None:
        """As `HttpReceiver`; `now_ms` is this machine's clock in Unix milliseconds."""
        self._form = form
        self._names = names
        self._now_ms = now_ms
        self._receiver = HttpReceiver(url, "/v1/billing/meter_events", headers, timeout)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._accepted: set[str] = set()

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        lanes: defaultdict[tuple[str, str], list[RecordedEvent]] = defaultdict(list)
        for recorded in self._form.select(batch):
            if recorded.event.id not in self._accepted:
                lanes[self._names.customer_of(recorded), self._names.meter_of(recorded)].append(recorded)
        ends = await asyncio.gather(*map(self._send_in_turn, lanes.values()), return_exceptions=True)
        poisoned: dict[str, str] = {}
        for end in ends:
            if isinstance(end, BaseException):
                raise end
            poisoned |= end
        self._accepted.clear()
        if poisoned:
            raise Poisoned(next(iter(poisoned.values())), poisoned)

    async def close(self) -> None:
        await self._receiver.close()

    async def _send_in_turn(self, events: Sequence[RecordedEvent]) -> dict[str, str]:
        """Send the events of one customer's meter; return why Stripe rejects those that it does, by id."""
        poisoned: dict[str, str] = {}
        for recorded in events:
            try:
                async with self._slots:
                    await self._send_one(recorded)
            except Poisoned as error:
                poisoned[recorded.event.id] = str(error)
            else:
                self._accepted.add(recorded.event.id)
        return poisoned

    async def _send_one(self, recorded: RecordedEvent) -> None:
        event = self._form.write(recorded, self._names)
        self._check(recorded.event.time, event["payload"]["value"])
        fields = {
            "event_name": event["event_name"],
            "identifier": event["identifier"],
            "timestamp": str(recorded.event.time // 1_000),
            **{f"payload[{name}]": value for name, value in event["payload"].items()},
        }
        response = await self._receiver.post("application/x-www-form-urlencoded", urlencode(fields).encode())
        if response.status == 409:  # another request for this customer and meter
            raise TryLater(self._receiver.reason(response), response.after)
        if not _known(response):
            self._receiver.judge(response)

    def _check(self, time_ms: int, value: str) -> None:
        """Raise for an event that Stripe would refuse, or drop later without a word."""
        if len(value.lstrip("-")) > MOST_DIGITS:
            raise Poisoned(
                f"its value {value} has more than {MOST_DIGITS} digits: meter a unit (--value), or count in a "
                "currency of fewer decimals"
            )
        age = self._now_ms() - time_ms
        if age > OLDEST_MS:
            raise Poisoned(f"it is {age / 86_400_000:.1f} days old, and Stripe takes none older than 35 days")
        if age < -NEWEST_MS:
            raise TryLater(f"an event is {-age / 1_000:.0f} s ahead of this machine's clock; Stripe takes 300 s")


def _known(response: ReceiverResponse) -> bool:
    """Return True if Stripe refuses an event because it has that identifier already; some responses have no code."""
    if response.status != 400:
        return False
    try:
        error: Any = msgspec.json.decode(response.body)["error"]
        return error.get("code") == _THERE[0] or _THERE[1] in str(error.get("message", ""))
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
        return False
