"""Events read back from a stream that apps share."""

from typing import Any

import pytest

from proxy.history.queries import PAGE
from proxy.reporting.dates import Days, parse_period
from proxy.reporting.stream import AppEvents, UnreadableEvent
from tests.reporting.ledger_fixture import ALWAYS, TAGS, RecordedUsage, utc


async def ids(usage_records: RecordedUsage, app: str, days: Days = ALWAYS) -> list[str]:
    return [recorded.event.id async for recorded in usage_records.events(app, days)]


async def neighbours(usage_records: RecordedUsage) -> tuple[str, str]:
    """Two apps whose events lie in one stream."""
    first = await usage_records.app()
    for _ in range(20 * TAGS):
        second = await usage_records.app()
        if usage_records.keys.tag(second) == usage_records.keys.tag(first):
            return first, second
    raise AssertionError("no two apps share a tag")


async def test_each_app_reads_its_own_in_order(usage_records: RecordedUsage) -> None:
    first, second = await neighbours(usage_records)
    written: dict[str, list[str]] = {first: [], second: []}
    for number in range(20):
        app = (first, second)[number % 3 == 0]
        written[app] += await usage_records.requests(app, 1)
    assert await ids(usage_records, first) == written[first]
    assert await ids(usage_records, second) == written[second]


async def test_an_app_named_in_the_model_of_another(usage_records: RecordedUsage) -> None:
    first, second = await neighbours(usage_records)
    await usage_records.request(first, model=f'"app":"{second}"')
    await usage_records.request(first, user=second, model=second)
    assert await ids(usage_records, second) == []


async def test_more_than_one_chunk(usage_records: RecordedUsage) -> None:
    app = await usage_records.app()
    written = await usage_records.requests(app, PAGE + 5)
    assert await ids(usage_records, app) == written


async def test_usage_that_waited_in_a_journal_belongs_to_its_own_period(usage_records: RecordedUsage) -> None:
    """It stands in the stream after events of later months."""
    app = await usage_records.app()
    later = await usage_records.request(app, at=utc("2020-12-05T00:00"))
    late = await usage_records.request(app, at=utc("2020-11-30T23:59:59.999"))
    assert await ids(usage_records, app, parse_period("2020-11")) == [late]
    assert await ids(usage_records, app, parse_period("2020-12")) == [later]


async def test_following_goes_on_where_it_stopped(usage_records: RecordedUsage) -> None:
    app = await usage_records.app()
    events = AppEvents(usage_records.sources, app)
    for count in (0, 3, 0, 2):
        expected = await usage_records.requests(app, count)
        assert [recorded.event.id async for recorded in events.read(ALWAYS)] == expected


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"event": '{"app":"%s"}', "amount": "1"}, "is no usage event"),
        ({"event": '{"app":"%s"', "amount": "1"}, "is no usage event"),
        ({"event": '{"app":"%s"}'}, "has no amount"),
        ({"event": '{"app":"%s"}', "amount": "1e18"}, "has no amount"),
    ],
)
async def test_what_is_no_event_is_named_and_not_skipped(
    usage_records: RecordedUsage, fields: dict[str, str], complaint: str
) -> None:
    app = await usage_records.app()
    stream = usage_records.keys.shared(usage_records.keys.tag(app)).events
    entry: Any = await usage_records.store.redis.xadd(
        stream, {k: v % app if "%s" in v else v for k, v in fields.items()}
    )
    with pytest.raises(UnreadableEvent, match=complaint) as caught:
        await ids(usage_records, app)
    assert entry.decode() in str(caught.value)
    assert stream in str(caught.value)
