"""Usage of one request is the same, whether its events are in the stream, in the history, or in both."""

from __future__ import annotations

from datetime import date

import pytest
from ulid import ULID

from proxy.reporting.dates import Days
from proxy.reporting.request_usage import read_request_usage
from tests.history.fakes import Archive, event

pytestmark = pytest.mark.ci


REQUEST = str(ULID.from_timestamp(1_790_000_000))
OTHER = str(ULID.from_timestamp(1_790_000_000))
TIME = 1_790_000_000_000
ALWAYS = Days(date(2026, 1, 1), date(2027, 1, 1))


async def used(archive: Archive, request_id: str = REQUEST, days: Days = ALWAYS) -> tuple[int, int]:
    """Return number of requests and amount."""
    found = await read_request_usage(archive.sources, "app_one", request_id, days, ())
    return found.total.requests, found.total.amount


@pytest.mark.parametrize("archived", [0, 1, 2, 4])
async def test_wherever_its_events_are(archive: Archive, archived: int) -> None:
    """Hazard: what was corrected, or streamed on, after the request is left out."""
    events = [
        (event(id=REQUEST, time=TIME), 10**27),
        (event(id=OTHER, time=TIME), 5),
        (event(id=f"{REQUEST}-adjustment", time=TIME + 1, type="adjustment"), -3),
        (event("app_two", id=f"{REQUEST}-3", time=TIME + 2, part=3), 7),
        (event(id=f"{REQUEST}-2", time=TIME + 86_400_000, part=2), 11),
    ]
    for number, (each, amount) in enumerate(events):
        if number == archived:
            await archive.advance()
        await archive.add(each, amount)
    assert await used(archive) == (1, 10**27 + 8)
    await archive.advance()
    assert await used(archive) == (1, 10**27 + 8)
    first = date(2026, 9, 21)
    assert await used(archive, days=Days(first, first)) == (1, 10**27 - 3)
    assert await used(archive, OTHER) == (1, 5)
    for unknown in ("", "%", REQUEST[:-1], f"{REQUEST}-2", str(ULID())):
        assert await used(archive, unknown) == (0, 0)
