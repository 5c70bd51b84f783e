"""Usage of one request: its event, an adjustment of it, and the ticks of the live session that it began."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ulid import ULID

from middlewares.ledger.periods import DAY_MS
from proxy.history.batch import Sums, read
from proxy.history.queries import of_request
from proxy.history.reader import LedgerEntries, LedgerSources
from proxy.reporting.dates import Days
from proxy.reporting.totals import Breakdown, Dimension


async def read_request_usage(
    sources: LedgerSources, app: str, request_id: str, days: Days, dimensions: Sequence[Dimension]
) -> Breakdown:
    """Return what a request of an app used on these days, broken down; nothing if the app made none of that id."""
    found = Breakdown(tuple(dimensions))
    try:
        since = ULID.from_str(request_id).milliseconds - DAY_MS  # its clock is not the one that dates events
    except ValueError:
        return found
    entries = LedgerEntries.of_app(sources, app)
    archived = await entries.begin(partial(of_request, app=app, request_id=request_id, since=since))
    used = Sums()
    for each in read(0, [(str(entry.entry).encode(), entry.fields) for entry in archived]):
        used.add(each)
    async for entry in entries.streamed():
        [each] = read(0, [entry])
        if each.id == request_id or each.id.startswith(f"{request_id}-"):
            used.add(each)
    for total, number in used.totals.items():
        if days.first <= total.day <= days.last:
            found.add_total(total, number)
    return found
