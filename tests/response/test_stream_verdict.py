"""A stream is to its client what it is on its bill, in whatever form it comes and however it is cut."""

import asyncio
import json
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from config.workloads import Unit, Workload
from middlewares.ledger.model import Usage
from middlewares.response.openai import DONE, RUNNER_FAILED, TRUNCATED, ChatResponse
from tests.usage_tracker.meters.meter_runs import EVENTS, cuts, event, usage

FIRST = event("a", prompt=2, completion=7)
LAST = event("", prompt=2, completion=7, finish="stop")
TRAILER = b'data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":9}}\n\n'
SPACED = b'data:  { "choices" : [ { "delta" : { "content" : "a" } , "finish_reason" : "" } ] , "usage" : null }\n\n'


def to_client(pieces: list[bytes], *, include_usage: bool = False) -> bytes:
    """Return what an OpenAI client is sent of a stream."""
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    async def response() -> None:
        chat = ChatResponse(send, openai=True, include_usage=include_usage)
        await chat.send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        for piece in pieces:
            await chat.send({"type": "http.response.body", "body": piece, "more_body": True})
        await chat.send({"type": "http.response.body", "body": b"", "more_body": False})

    asyncio.run(response())
    return b"".join(sent)


def billed(pieces: list[bytes]) -> Usage:
    return usage(Workload.LLM, pieces, headers=EVENTS)


def chunks(stream: bytes) -> list[dict[str, object]]:
    """Read a stream as it was written for an OpenAI client, whose own reader takes no other form."""
    assert stream.endswith(b"\n\n")
    datas = [each.removeprefix(b"data: ") for each in stream.split(b"\n\n")[:-1] if not each.startswith(b":")]
    return [json.loads(data) for data in datas if data != b"[DONE]"]


FORMS = {
    "as gateways write it": FIRST + LAST,
    "no space after the colon": (FIRST + LAST).replace(b"data: ", b"data:"),
    "byte order mark": b"\xef\xbb\xbf" + FIRST + LAST,
    "CR": (FIRST + LAST).replace(b"\n", b"\r"),
    "CRLF": (FIRST + LAST).replace(b"\n", b"\r\n"),
    "last event without its blank line": FIRST + LAST[:-1],
    "last line without its end": FIRST + LAST[:-2],
    "spaced JSON": SPACED + LAST,
    "data over several lines": FIRST.replace(b',"', b',\ndata: "') + LAST.replace(b',"', b',\r\ndata:"'),
    "content in parts": FIRST.replace(b'"content":"a"', b'"content":[{"type":"text","text":"a"}]') + LAST,
    "two ends": FIRST + LAST + DONE + DONE,
    "tokens with a fraction of zero": (FIRST + LAST).replace(b'tokens":7', b'tokens":7.0'),
    "comments": b": hello\n\n" + FIRST + b": still here\n" + LAST + b":\n\n",
    "events without data": b"event: ping\n\nid: 1\n\n" + FIRST + b"retry: 5\n\n" + LAST,
    "named events": b"event: message\n" + FIRST + b"event: message\nid: 2\n" + LAST,
    "null usage": FIRST.replace(b'"usage"', b'"usage":null,"was"') + LAST,
    "usage after the finish": FIRST + LAST + TRAILER.replace(b"9", b"7") + DONE,
    "half a surrogate pair": FIRST.replace(b'"a"', b'"\\ud800"') + LAST,
    "a reason in a second choice": FIRST + LAST.replace(b'"choices": [', b'"choices": [{"finish_reason":null},'),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_whole_stream_is_whole_to_client_and_bill(form: str) -> None:
    stream = FORMS[form]
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        sent, bill = to_client(pieces, include_usage=True), billed(pieces)
        assert sent.endswith(DONE)
        assert sent.count(DONE) == 1
        *parts, last = chunks(sent)
        assert [part["usage"] for part in parts] == [None, None]
        assert last["choices"] == []
        assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 7, "total_tokens": 9}
        assert {part["object"] for part in [*parts, last]} == {"chat.completion.chunk"}
        assert bill.complete
        assert bill.units == {Unit.INPUT_TOKENS: 2, Unit.OUTPUT_TOKENS: 7, Unit.REQUESTS: 1}


BROKEN = {
    "nothing": (b"", TRUNCATED),
    "only a comment": (b": hello\n\n", TRUNCATED),
    "no finish": (FIRST, TRUNCATED),
    "an end without a finish": (FIRST + DONE + LAST, TRUNCATED),
    "a last event that is cut": (FIRST + LAST[:-9], TRUNCATED),
    "first event without choices": (b'data: {"choices":null}\n\n' + FIRST + LAST, RUNNER_FAILED),
    "choices that are none": (b'data: {"choices":["a", 7]}\n\n' + LAST, RUNNER_FAILED),
    "choices in another shape": (b'data: {"choices":{"0":{}}}\n\n' + LAST, RUNNER_FAILED),
    "usage before the finish": (FIRST + TRAILER + LAST, RUNNER_FAILED),
    "no object": (FIRST + b"data: null\n\n" + LAST, RUNNER_FAILED),
    "the runner's own error": (FIRST + b'data: {"error":{"message":"no memory"}}\n\n' + LAST, b'"no memory"}}\n\n'),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_stream_is_broken_to_client_and_bill(way: str) -> None:
    stream, ending = BROKEN[way]
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        sent = to_client(pieces, include_usage=True)
        assert sent.endswith(ending)
        assert DONE not in sent
        assert not billed(pieces).complete


def test_the_usage_is_sent_where_it_was_requested_and_nowhere_else() -> None:
    sent = chunks(to_client([FIRST + LAST + TRAILER]))
    assert [len(part["choices"]) for part in sent] == [1, 1]  # type: ignore[arg-type]
    assert [part["usage"] for part in sent] == [None, None]


def test_tokens_that_no_runner_counted_are_told_as_they_are_billed() -> None:
    stream = event("a", completion=0) + event("b", completion=0) + event("", completion=0, finish="stop")
    *_, last = chunks(to_client([stream], include_usage=True))
    assert last["usage"] == {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}
    assert billed([stream]).units[Unit.OUTPUT_TOKENS] == 2


_counts = st.none() | st.integers(0, 9)
_events = st.builds(
    event, st.none() | st.text(max_size=5), prompt=_counts, completion=_counts, finish=st.sampled_from(["", "", "stop"])
)
_others = st.sampled_from(
    [
        *(b": c\n", b"event: x\n", b"\n", b"\xef\xbb\xbf", b"data\n", b"data:\n", DONE, TRAILER, SPACED),
        *(b'data: {"error":"no"}\n\n', b"data: 7\n\n", b"data: {\n\n", b'data: {"choices":[]}\n\n', b"data: \xff\n\n"),
    ]
)


@pytest.mark.ci
@given(st.data(), st.lists(_events | _others, max_size=6), st.sampled_from([b"\n", b"\r", b"\r\n"]), st.integers(0, 30))
def test_client_and_bill_agree_on_any_stream_however_it_is_cut(
    data: st.DataObject, parts: list[bytes], end: bytes, short: int
) -> None:
    whole = b"".join(parts)
    stream = whole[: max(0, len(whole) - short)].replace(b"\n", end)
    sent, bill = to_client([stream], include_usage=True), billed([stream])
    assert sent.endswith(DONE) is bill.complete
    if bill.complete:
        told = chunks(sent)[-1]["usage"]
        assert isinstance(told, dict)
        assert told["completion_tokens"] == bill.units.get(Unit.OUTPUT_TOKENS, 0)
        assert told["prompt_tokens"] == bill.units.get(Unit.INPUT_TOKENS, 0)
    pieces = data.draw(cuts(stream))
    one_by_one = list(chain(stream[at : at + 1] for at in range(len(stream))))
    for cut in (pieces, one_by_one):
        assert to_client(cut, include_usage=True).replace(b":\n", b"") == sent.replace(b":\n", b"")
        assert billed(cut) == bill
