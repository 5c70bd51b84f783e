"""The usage does not depend on how a response is cut into chunks."""

import json

from hypothesis import given
from hypothesis import strategies as st

from config.workloads import Workload
from middlewares.usage_tracker.meters.sse import LINE_BYTES, Lines
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


@given(st.data(), st.integers(0, 4))
def test_json_responses(data: st.DataObject, count: int) -> None:
    images = json.dumps({"images": [{"url": "u", "seed": 1, "nsfw": False}] * count}).encode()
    assert usage(Workload.TEXT_TO_IMAGE, data.draw(cuts(images))) == usage(Workload.TEXT_TO_IMAGE, [images])
    choice = {"finish_reason": "length", "message": {"content": "x"}}
    response = json.dumps({"choices": [choice], "usage": {"completion_tokens": count}}).encode()
    assert usage(Workload.LLM, data.draw(cuts(response))) == usage(Workload.LLM, [response])


def test_line_that_is_too_long_is_passed_over_whole() -> None:
    for size in (LINE_BYTES, LINE_BYTES + 1):
        line = b"x" * size + b"\n"
        for step in (len(line), 1000, 65_537):
            reader = Lines()
            pieces = [line[place : place + step] for place in range(0, len(line), step)]
            found = [value for piece in [*pieces, b"next\n"] for value in reader.feed(piece)]
            assert found[-1] == b"next"
            assert (len(found) == 2) is (size <= LINE_BYTES)
