"""Responses of `/llm` in the words of OpenAI, however their bytes are cut."""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from middlewares.exchange import Headers, Refusal
from middlewares.response.openai import DONE, RUNNER_FAILED, TRUNCATED, ChatResponse

SSE = (b"content-type", b"text/event-stream")
JSON = (b"content-type", b"application/json")
TRICKY = '"finish_reason":"" \n data: {'


def event(content: str, reason: str = "") -> bytes:
    choice = {"delta": {"content": content, "role": "assistant"}, "finish_reason": reason, "index": 0}
    return b"data: " + json.dumps({"choices": [choice], "id": "c"}, separators=(",", ":")).encode() + b"\n\n"


def rewritten(status: int, headers: Headers, chunks: list[bytes], *, openai: bool = True) -> tuple[Headers, bytes]:
    """What the client gets."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def response() -> None:
        mapped = ChatResponse(send, openai=openai)
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


@pytest.mark.parametrize("openai", [True, False])
def test_a_stream_of_declared_length_is_longer_once_it_is_rewritten(openai: bool) -> None:
    """A gateway's own streams have no length; a proxy before it may have waited for all of one."""
    text = event("a") + event("", "stop")
    headers, body = rewritten(200, [SSE, (b"content-length", b"%d" % len(text))], [text], openai=openai)
    assert headers == [SSE]
    assert len(body) > len(text) if openai else body == text


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
        mapped = ChatResponse(send, openai=True)
        await mapped.send({"type": "http.response.start", "status": 200, "headers": [SSE]})
        await mapped.send({"type": "http.response.body", "body": event("a") + b'data: {"cho', "more_body": True})

    asyncio.run(response())
    assert json.loads(sent[1]["body"].removeprefix(b"data: "))["choices"][0]["delta"]["content"] == "a"


@pytest.mark.parametrize("places", [[], [1], [3, 9], list(range(99))])
def test_a_plain_response_names_its_object(places: list[int]) -> None:
    text = b' {"choices":[{"index":0}],"id":"c"}'
    headers, body = rewritten(200, [JSON, (b"content-length", b"%d" % len(text))], cut(text, places))
    assert json.loads(body) == {"object": "chat.completion", "choices": [{"index": 0}], "id": "c"}
    assert dict(headers)[b"content-length"] == b"%d" % len(body)


@pytest.mark.parametrize("text", [b"", b'{"choices":null}', b'{"choices":[]}', b"{}", b"[]", b"{", b'{"choices":[7]}'])
@pytest.mark.parametrize("headers", [[JSON], []])
def test_a_plain_response_without_a_choice_is_an_error(text: bytes, headers: Headers) -> None:
    with pytest.raises(Refusal) as refused:
        rewritten(200, headers, [text])
    assert (refused.value.status, refused.value.code) == (502, "gateway_failed")
    assert rewritten(200, headers, [text], openai=False) == (headers, text)


def test_an_error_that_is_a_text_becomes_an_object() -> None:
    _, body = rewritten(500, [JSON], [b'{ "error" : "no" }'])
    assert json.loads(body) == {"error": {"type": "server_error", "param": None, "code": None, "message": "no"}}


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


NO_CHOICE = [
    b'data: {"choices":null,"created":0,"id":"","model":"","usage":{"completion_tokens":0}}\n\n',
    b'data: {"choices": []}\n\n',
    b"data: {}\n\n",
    b'data:{"id":"\\"choices\\":[{"}\r\n\r\n',
    b'data: {"choices":null}',
]


@pytest.mark.parametrize("openai", [True, False])
@pytest.mark.parametrize("wrong", NO_CHOICE)
@pytest.mark.parametrize("before", [b"", event("a"), event(TRICKY)])
@pytest.mark.parametrize("places", [[], [5], list(range(0, 400, 7))])
def test_an_event_without_a_choice_is_an_error(openai: bool, wrong: bytes, before: bytes, places: list[int]) -> None:
    stream = before + wrong + (event("late") if wrong.endswith(b"\n") else b"")
    _, body = rewritten(200, [SSE], cut(stream, places), openai=openai)
    assert body.endswith(RUNNER_FAILED)
    assert json.loads(RUNNER_FAILED.removeprefix(b"data: "))["error"]["code"] == "gateway_failed"
    passed = body.removesuffix(RUNNER_FAILED)
    assert passed in (b"", passed.removesuffix(b"\n\n") + b"\n\n")
    assert passed.count(b'"choices":[{') == before.count(b'"choices":[{')
    assert b'null,"created' not in body
    assert b"late" not in body


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_a_healthy_stream_of_the_gateways_own_route_passes_byte_for_byte(places: list[int]) -> None:
    trailer = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n: comment\r\ndata: [DONE]\n\ndata: unended'
    stream = event("a") + event(TRICKY) + event("", "stop") + trailer
    assert rewritten(200, [SSE], cut(stream, places), openai=False) == ([SSE], stream)
    plain = b'{"choices":null}'
    length = (b"content-length", b"%d" % len(plain))
    assert rewritten(200, [JSON, length], cut(plain, places), openai=False) == ([JSON, length], plain)


def test_an_error_of_another_runner_passes() -> None:
    error = b'data: {"error":"out of memory"}\n\n'
    assert rewritten(200, [SSE], [error], openai=False)[1] == error
