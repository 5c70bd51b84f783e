"""The usage does not depend on how a response is cut into chunks."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from config.workloads import Workload
from middlewares.usage_tracker.meters.sse import LINE_BYTES, DataLines
from tests.usage_tracker.meters.meter_runs import EVENTS, cuts, event, usage

_counts = st.none() | st.integers(0, 9)
_events = st.builds(
    event, st.none() | st.text(max_size=5), prompt=_counts, completion=_counts, finish=st.sampled_from(["", "stop"])
)
_noise = st.sampled_from(
    [b": comment\n", b"event: x\n", b"\n\n\n", b"data\n", b"data:\n", b"data: [DONE]\n\n", b"id:1\n"]
)
_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.data(), st.lists(_events | _noise, max_size=8), _ends)
def test_event_stream(data: st.DataObject, parts: list[bytes], end: bytes) -> None:
    stream = b"".join(parts)
    expected = usage(Workload.LLM, [stream], headers=EVENTS)
    pieces = data.draw(cuts(stream.replace(b"\n", end)))
    assert usage(Workload.LLM, pieces, headers=EVENTS) == expected


_line = st.binary(max_size=12).map(lambda raw: re.sub(rb"[\r\n]", b".", raw))


@given(st.data(), st.lists(st.tuples(st.sampled_from([b"data: ", b"data:", b"id: ", b""]), _line, _ends), max_size=8))
def test_data_lines_are_those_of_a_split_at_line_ends(
    data: st.DataObject, lines: list[tuple[bytes, bytes, bytes]]
) -> None:
    stream = b"".join(b"".join(line) for line in lines)
    expected = [
        line[5:].removeprefix(b" ") for line in re.split(rb"\r\n|\r|\n", stream)[:-1] if line.startswith(b"data:")
    ]
    reader = DataLines()
    assert [value for piece in data.draw(cuts(stream)) for value in reader.feed(piece)] == expected


@given(st.data(), st.integers(0, 4))
def test_json_responses(data: st.DataObject, count: int) -> None:
    images = json.dumps({"images": [{"url": "u", "seed": 1, "nsfw": False}] * count}).encode()
    assert usage(Workload.TEXT_TO_IMAGE, data.draw(cuts(images))) == usage(Workload.TEXT_TO_IMAGE, [images])
    choice = {"finish_reason": "length", "message": {"content": "x"}}
    response = json.dumps({"choices": [choice], "usage": {"completion_tokens": count}}).encode()
    assert usage(Workload.LLM, data.draw(cuts(response))) == usage(Workload.LLM, [response])


def test_line_that_is_too_long_is_passed_over_whole() -> None:
    for size in (LINE_BYTES - 5, LINE_BYTES - 4):
        line = b"data:" + b"x" * size + b"\n"
        for step in (len(line), 1000, 65_537):
            reader = DataLines()
            pieces = [line[place : place + step] for place in range(0, len(line), step)]
            found = [value for piece in [*pieces, b"data: next\n"] for value in reader.feed(piece)]
            assert found[-1] == b"next"
            assert (len(found) == 2) is (len(line) - 1 <= LINE_BYTES)
