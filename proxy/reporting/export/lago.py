"""Lago's batches of events, whose repeats it refuses by `transaction_id`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from proxy.reporting.export.http import HttpSink, ReceiverResponse
from proxy.reporting.export.sinks import Poisoned
from proxy.reporting.stream import RecordedEvent

_THERE = "value_already_exist"


class LagoSink(HttpSink):
    """Sends `POST /api/v1/events/batch`, at most 100 events at once.

    Lago accepts a batch whole or not at all, and names by their index those that it refuses. What it has already is
    left out of another try; what is invalid is named to the exporter.
    """

    path = "/api/v1/events/batch"

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        left = self._form.select(batch)
        while left:
            response = await self._receiver.post(self._form.content_type, self._form.body(left, self._names))
            details = _details(response, len(left)) if response.status == 422 else {}
            if not details:
                self._receiver.judge(response)
                return
            invalid = {left[index].event.id: str(faults) for index, faults in details.items() if not _there(faults)}
            if invalid:
                reason = self._receiver.reason(response)
                raise Poisoned(reason, {event: f"{reason} ({faults})"[:500] for event, faults in invalid.items()})
            left = [each for index, each in enumerate(left) if index not in details]


def _details(response: ReceiverResponse, count: int) -> dict[int, Any]:
    """Return the faults of refused events by index, as Lago's `error_details` has them; empty if it has none."""
    try:
        details = msgspec.json.decode(response.body)["error_details"]
        found = {int(index): faults for index, faults in details.items()}
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        return {}
    return found if all(0 <= index < count for index in found) else {}


def _there(faults: Any) -> bool:
    """Return True if all that is wrong with an event is that Lago has it."""
    return isinstance(faults, dict) and faults == {"transaction_id": [_THERE]}
