"""What a user used, by page and the newest first, is whole wherever the events are."""

from __future__ import annotations

import pytest

from proxy.history.newest import UsesPage, newest_uses
from proxy.history.places import TimePlace
from tests.history.fakes import Archive, event

TIME = 1_790_000_000_000
TIMES = (TIME - 10, TIME + 100)


async def pages(archive: Archive, limit: int, look_at: int) -> list[list[bytes]]:
    """Return the amounts of all pages."""
    found: list[list[bytes]] = []
    place: TimePlace | None = None
    while True:
        page = UsesPage(TIMES, place, limit, look_at, user="ann")
        entries, place = await newest_uses(archive.sources, "app_one", page)
        found.append([fields[b"amount"] for _, fields in entries])
        if place is None:
            return found
        assert len(found) < 100, "pages come to an end"


@pytest.mark.slow
@pytest.mark.parametrize("archived", [0, 3, 9])
@pytest.mark.parametrize(("limit", "look_at"), [(1, 20_000), (2, 2), (3, 1), (50, 3), (50, 20_000)])
async def test_each_use_of_the_user_is_on_one_page(archive: Archive, archived: int, limit: int, look_at: int) -> None:
    """Hazard: uses that are lost or told twice between two pages, at one time, or between history and stream."""
    events = [
        event(id="a", user="ann", time=TIME),
        event(id="B", user="ann", time=TIME),
        event(id="b-adjustment", user="ann", time=TIME, type="adjustment"),
        event(id="c", user="bob", time=TIME),
        event(id="d", user="ann", time=TIME + 5, type="credit", workload=None),
        event("app_two", id="e", user="ann", time=TIME + 5),
        event(id="f", user="ann", time=TIME + 7),
        event(id="g", user="ann", time=TIME + 100),
        event(id="h", user="ann", time=TIME - 10),
    ]
    for number, each in enumerate(events):
        if number == archived:
            await archive.advance()
        await archive.add(each, number + 1)
    if archived == len(events):
        await archive.advance()
    found = await pages(archive, limit, look_at)
    assert [amount for page in found for amount in page] == [b"7", b"3", b"1", b"2", b"9"], "the newest first"
    assert max(map(len, found)) <= limit


@pytest.mark.parametrize("archived", [0, 2, 4])
async def test_a_page_has_what_its_filters_name(archive: Archive, archived: int) -> None:
    events = [
        event(id="a", user="ann", time=TIME, model="m", outcome="complete"),
        event(id="b", user="bob", time=TIME + 1, model="n", outcome="complete", status=206),
        event(id="c", user=None, time=TIME + 2, model="m", outcome="upstream_error", status=502, gateway_status=200),
        event("app_two", id="d", time=TIME + 3, model="m", outcome="complete"),
    ]
    for number, each in enumerate(events):
        if number == archived:
            await archive.advance()
        await archive.add(each, number + 1)
    if archived == len(events):
        await archive.advance()
    for page, amounts in (
        (UsesPage(TIMES, None, 10), b"321"),
        (UsesPage(TIMES, None, 10, model="m"), b"31"),
        (UsesPage(TIMES, None, 10, model="m", outcome="complete"), b"1"),
        (UsesPage(TIMES, None, 10, status=200), b"1"),
        (UsesPage(TIMES, None, 10, status=502, model="m"), b"3"),
        (UsesPage(TIMES, None, 10, status=404), b""),
    ):
        entries, _ = await newest_uses(archive.sources, "app_one", page)
        assert b"".join(fields[b"amount"] for _, fields in entries) == amounts
