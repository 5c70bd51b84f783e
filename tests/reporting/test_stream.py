"""Events read back from a stream that apps share."""

from typing import Any

import pytest

from proxy.reporting.dates import Days, parse_period
from proxy.reporting.stream import CHUNK, AppEvents, UnreadableEvent, events_of
from tests.reporting.ledger_fixture import TAGS, Books, utc

ALWAYS = Days(parse_period("1970-01").first, parse_period("9999-12").last)


async def ids(books: Books, app: str, days: Days = ALWAYS) -> list[str]:
    return [recorded.event.id async for recorded in events_of(books.store.redis, books.keys, app, days)]


async def neighbours(books: Books) -> tuple[str, str]:
    """Two apps whose events lie in one stream."""
    first = await books.app()
    for _ in range(20 * TAGS):
        second = await books.app()
        if books.keys.tag(second) == books.keys.tag(first):
            return first, second
    raise AssertionError("no two apps share a tag")


async def test_each_app_reads_its_own_in_order(books: Books) -> None:
    first, second = await neighbours(books)
    written: dict[str, list[str]] = {first: [], second: []}
    for number in range(20):
        app = (first, second)[number % 3 == 0]
        written[app] += await books.requests(app, 1)
    assert await ids(books, first) == written[first]
    assert await ids(books, second) == written[second]


async def test_an_app_named_in_the_model_of_another(books: Books) -> None:
    first, second = await neighbours(books)
    await books.request(first, model=f'"app":"{second}"')
    await books.request(first, user=second, model=second)
    assert await ids(books, second) == []


async def test_more_than_one_chunk(books: Books) -> None:
    app = await books.app()
    written = await books.requests(app, CHUNK + 5)
    assert await ids(books, app) == written


async def test_usage_that_waited_in_a_journal_belongs_to_its_own_period(books: Books) -> None:
    """It stands in the stream after events of later months."""
    app = await books.app()
    later = await books.request(app, at=utc("2020-12-05T00:00"))
    late = await books.request(app, at=utc("2020-11-30T23:59:59.999"))
    assert await ids(books, app, parse_period("2020-11")) == [late]
    assert await ids(books, app, parse_period("2020-12")) == [later]


async def test_following_goes_on_where_it_stopped(books: Books) -> None:
    app = await books.app()
    events = AppEvents(books.store.redis, books.keys, app)
    for count in (0, 3, 0, 2):
        expected = await books.requests(app, count)
        assert [recorded.event.id async for recorded in events.read()] == expected


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"event": '{"app":"%s"}', "amount": "1"}, "is no usage event"),
        ({"event": '{"app":"%s"', "amount": "1"}, "is no usage event"),
        ({"event": '{"app":"%s"}'}, "has no amount"),
        ({"event": '{"app":"%s"}', "amount": "1e18"}, "has no amount"),
    ],
)
async def test_what_is_no_event_is_named_and_not_skipped(books: Books, fields: dict[str, str], complaint: str) -> None:
    app = await books.app()
    stream = books.keys.shared(books.keys.tag(app)).events
    entry: Any = await books.store.redis.xadd(stream, {k: v % app if "%s" in v else v for k, v in fields.items()})
    with pytest.raises(UnreadableEvent, match=complaint) as caught:
        await ids(books, app)
    assert entry.decode() in str(caught.value)
    assert stream in str(caught.value)
