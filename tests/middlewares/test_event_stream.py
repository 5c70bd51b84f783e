"""An event stream reads the same however it is cut, by the rules of WHATWG HTML section 9.2.6."""

import re
from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from middlewares.event_stream import EVENT_BYTES, EventReader, StreamEvent
from tests.usage_tracker.meters.meter_runs import cuts

_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
_fields = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"data:", b"data:  c", b"database: d", b": x", b"id: 1", b""]
)
_lines = st.tuples(_fields, _ends).map(b"".join)
_streams = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf"]),
    st.lists(_lines, max_size=12).map(b"".join),
    st.sampled_from([b"", b"data: cut", b"dat"]),
).map(b"".join)


def by_the_rules(stream: bytes) -> list[bytes]:
    """Data of the events in a stream, read as a whole and line by line."""
    found: list[bytes] = []
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        name, _, value = line.partition(b":")
        if not line and data:
            found.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return found


def read(pieces: list[bytes]) -> tuple[list[StreamEvent], StreamEvent | None]:
    reader = EventReader()
    events = list(chain.from_iterable(map(reader.feed, pieces)))
    return events, reader.rest()


@given(st.data(), _streams)
@example(None, b"data: a\r\n\r\ndata: b\r\r\ndata: c\n\n")
def test_any_cut_gives_the_same_events_and_every_byte(data: st.DataObject | None, stream: bytes) -> None:
    one_by_one = [stream[at : at + 1] for at in range(len(stream))]
    for pieces in ([stream], one_by_one, data.draw(cuts(stream)) if data else [stream]):
        events, rest = read(pieces)
        assert [event.data for event in events if event.data is not None] == by_the_rules(stream)
        assert b"".join(event.raw for event in events) + (rest.raw if rest else b"") == stream


def test_an_event_leaves_with_the_byte_that_ends_it() -> None:
    for end in (b"\n\n", b"\r\r", b"\r\n\r"):
        reader = EventReader()
        assert reader.feed(b"data: a" + end[:-1]) == []
        assert [event.data for event in reader.feed(end[-1:])] == [b"a"]


def test_what_is_left_at_the_end_can_be_looked_at_again_and_again() -> None:
    reader = EventReader()
    reader.feed(b"data: a\ndata: b")
    assert [reader.rest(), reader.rest()] == [StreamEvent(b"data: a\ndata: b", b"a\nb")] * 2
    assert [event.data for event in reader.feed(b"c\n\n")] == [b"a\nbc"]
    assert reader.rest() is None


@pytest.mark.sampled(4)
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", [EVENT_BYTES - 1, EVENT_BYTES, EVENT_BYTES + 1, 3 * EVENT_BYTES])
def test_an_event_that_is_too_long_passes_unread_and_is_not_kept(end: bytes, size: int) -> None:
    long = b"data:" + b"x" * (size - 5) + end
    stream = b"data: first\n\n" + long + b"data: next\n\n"
    for step in (len(stream), 1_000, 65_537):
        reader = EventReader()
        events: list[StreamEvent] = []
        for at in range(0, len(stream), step):
            events += reader.feed(stream[at : at + step])
            rest = reader.rest()
            assert rest is None or len(rest.raw) <= EVENT_BYTES + 4
        found = [event.data for event in events if event.data is not None]
        assert [len(found), found[0], found[-1]] == [2 + (size <= EVENT_BYTES), b"first", b"next"]
        assert b"".join(event.raw for event in events) == stream
