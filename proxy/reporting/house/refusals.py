"""The newest recorded refusals, of all apps or of one, out of rings and history as one."""

from __future__ import annotations

from typing import Any

from middlewares.ledger.concurrency import gather_bounded
from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.house import ALL, RefusalFilter, newest_refusals
from proxy.history.explain.refusals import waiting_refusals
from proxy.history.places import TimePlace
from proxy.history.reader import LedgerSources


async def read_newest_refusals(
    sources: LedgerSources, place: TimePlace, limit: int, of: RefusalFilter = ALL
) -> list[RefusalRecord]:
    """Return the newest refusals behind a place, as `newest_refusals` orders them. The rings come first.

    What moves from a ring to the history meanwhile is found there, and counted once.
    """
    apps = [of.app] if of.app else await _apps_with_news(sources)
    waiting = [
        each for found in await gather_bounded(lambda app: waiting_refusals(sources, app), apps) for each in found
    ]
    archived = await sources.history.read(newest_refusals, place, limit, of)
    behind = [each for each in waiting if _order(place_at(each)) > _order(place)]
    found = {each.id: each for each in (*behind, *archived) if of.wants(each)}
    return sorted(found.values(), key=lambda each: _order(place_at(each)))[:limit]


def place_at(record: RefusalRecord) -> TimePlace:
    """Return the place of a refusal."""
    return TimePlace(record.time, record.id)


def _order(place: TimePlace) -> tuple[int, str]:
    """Return the sort key of a place: the newest first, those of one moment by id."""
    return -place.time, place.id


async def _apps_with_news(sources: LedgerSources) -> list[str]:
    """Return the apps whose rings hold something that the history may not have."""
    client: Any = sources.client
    sets = await gather_bounded(lambda tag: client.smembers(sources.keys.shared(tag).refused), sources.keys.tags)
    return sorted({app.decode() for apps in sets for app in apps})
