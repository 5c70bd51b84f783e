"""Responses of `/llm` in the words of OpenAI, however their bytes are cut."""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from middlewares.exchange import Headers
from middlewares.response.openai import DONE, TRUNCATED, OpenAiResponse

SSE = (b"content-type", b"text/event-stream")
JSON = (b"content-type", b"application/json")
TRICKY = '"finish_reason":"" \n data: {'


def event(content: str, reason: str = "") -> bytes:
    choice = {"delta": {"content": content, "role": "assistant"}, "finish_reason": reason, "index": 0}
    return b"data: " + json.dumps({"choices": [choice], "id": "c"}, separators=(",", ":")).encode() + b"\n\n"


def rewritten(status: int, headers: Headers, chunks: list[bytes]) -> tuple[Headers, bytes]:
    """What the client gets."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def response() -> None:
        mapped = OpenAiResponse(send)
        await mapped.send({"type": "http.response.start", "status": status, "headers": headers})
        for chunk in chunks:
            await mapped.send({"type": "http.response.body", "body": chunk, "more_body": True})
        await mapped.send({"type": "http.response.body", "body": b"", "more_body": False})

    asyncio.run(response())
    return sent[0]["headers"], b"".join(message["body"] for message in sent[1:])


def cut(text: bytes, places: list[int]) -> list[bytes]:
    stops = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:stop] for start, stop in pairwise(stops)]


@given(st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_a_stream_gets_objects_null_reasons_and_an_end(places: list[int], ended: bool) -> None:
    stream = event("a") + event(TRICKY) + event("", "stop")
    _, body = rewritten(200, [SSE], cut(stream if ended else stream[:-1], places))
    *events, done = body.decode().split("\n\n")[:-1]
    assert done + "\n\n" == DONE.decode()
    chunks = [json.loads(text.removeprefix("data: ")) for text in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]
    assert chunks[1]["choices"][0]["delta"]["content"] == TRICKY


def test_a_stream_that_finished_nothing_does_not_look_whole() -> None:
    _, body = rewritten(200, [SSE], [event("a")])
    assert body.endswith(TRUNCATED)
    assert DONE not in body
    assert "error" in json.loads(TRUNCATED.removeprefix(b"data: "))


def test_an_event_leaves_with_the_chunk_that_ends_it() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def response() -> None:
        mapped = OpenAiResponse(send)
        await mapped.send({"type": "http.response.start", "status": 200, "headers": [SSE]})
        await mapped.send({"type": "http.response.body", "body": event("a") + b'data: {"cho', "more_body": True})

    asyncio.run(response())
    assert json.loads(sent[1]["body"].removeprefix(b"data: "))["choices"][0]["delta"]["content"] == "a"


@pytest.mark.parametrize("places", [[], [1], [3, 9], list(range(99))])
def test_a_plain_response_names_its_object(places: list[int]) -> None:
    text = b'{"choices":[],"id":"c"}'
    headers, body = rewritten(200, [JSON, (b"content-length", b"%d" % len(text))], cut(text, places))
    assert json.loads(body) == {"object": "chat.completion", "choices": [], "id": "c"}
    assert b"content-length" not in dict(headers)


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid_request_error"), (503, "server_error")])
def test_an_error_has_a_type(status: int, kind: str) -> None:
    _, body = rewritten(status, [JSON], cut(b'{"error":{"message":"no"}}', [5, 9]))
    assert json.loads(body)["error"] == {"type": kind, "param": None, "code": None, "message": "no"}


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, [(b"content-type", b"text/plain")]), (404, []), (200, [SSE, (b"content-encoding", b"gzip")])],
)
def test_what_it_cannot_read_passes_as_it_is(status: int, headers: Headers) -> None:
    assert rewritten(status, headers, [b"\x1f\x8b", b"{}"]) == (headers, b"\x1f\x8b{}")
