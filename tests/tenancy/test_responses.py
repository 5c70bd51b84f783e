"""Ids in responses are reported however the response's bytes are cut, before the client can have them."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from middlewares.large_json import LargeJson
from middlewares.tenancy.affinity_table import ResourceKind
from middlewares.tenancy.public_urls import PublicUrls
from middlewares.tenancy.responses import hide_origins, report_created_ids, rewrite_document

LARGE_JSON = LargeJson()
IDS = st.text("0123456789abcdef", min_size=8, max_size=8)


async def passed(send: Any, chunks: list[bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    for number, chunk in enumerate(chunks, 1):
        await send({"type": "http.response.body", "body": chunk, "more_body": number < len(chunks)})


@given(st.lists(IDS, max_size=5), st.data())
async def test_results(ids: list[str], data: st.DataObject) -> None:
    images = [b'{"url":"/stream/%b/a.png", "seed":1,"nsfw":false}' % each.encode() for each in ids]
    response = b'{"images":[%b]}\n' % b",".join(images)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(response)), max_size=6)))
    chunks = [response[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(response)], strict=True)]
    reported: set[str] = set()
    delivered = b""

    async def send(message: Message) -> None:
        nonlocal delivered
        delivered += message.get("body", b"")
        assert all(each in reported for each in ids if f"/stream/{each}/".encode() in delivered)

    await passed(report_created_ids(send, lambda kind, names: reported.update(names)), chunks)
    assert (delivered, reported) == (response, set(ids))


@pytest.mark.parametrize(
    ("status", "response", "reported"),
    [
        (202, b'{"request_id":"0a1b2c3d"}', [(ResourceKind.VIDEO, {"0a1b2c3d"})]),
        (202, b'{"status":"processing"}', []),
        (200, b'{"request_id":"0a1b2c3d"}', []),
        (200, b'{"audio":{"url": "/stream/0a1b2c3d/a.wav"}}', [(ResourceKind.RESULT, {"0a1b2c3d"})]),
        (200, b'{"images":[{"url":"https://bucket/stream/0a1b2c3d/a.png"}]}', []),
        (500, b'{"images":[{"url":"/stream/0a1b2c3d/a.png"}]}', []),
    ],
)
async def test_what_counts(status: int, response: bytes, reported: list[tuple[ResourceKind, set[str]]]) -> None:
    found: list[tuple[ResourceKind, set[str]]] = []

    async def send(message: Message) -> None:
        pass

    await passed(report_created_ids(send, lambda kind, names: found.append((kind, names))), [response], status)
    assert found == reported


LINK, PUBLIC = b'"stop_url":"http://g/process/stream/a/stop"', b'"stop_url":"https://ai.example/process/stream/a/stop"'


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"{%b}" % LINK, b"{%b}" % PUBLIC),
        (b'{ "status" : "ok" }', b'{ "status" : "ok" }'),
        (b'{"lone":"\\ud800",%b}' % LINK, '{"lone":"\ufffd",'.encode() + PUBLIC + b"}"),
        (b"[" * 100_000, b"[" * 100_000),
        (b"no JSON", b"no JSON"),
        (b"", b""),
    ],
    ids=["link", "no link", "half a character", "deep", "no JSON", "empty"],
)
async def test_a_rewritten_document_has_its_own_length(response: bytes, expected: bytes) -> None:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    public = rewrite_document(send, PublicUrls("https://ai.example"), LARGE_JSON)
    headers = [(b"content-length", b"%d" % len(response))]
    await public({"type": "http.response.start", "status": 200, "headers": headers})
    assert messages == []
    await public({"type": "http.response.body", "body": response, "more_body": False})
    assert messages[0]["headers"] == [(b"content-length", b"%d" % len(expected))]
    assert messages[1]["body"] == expected


TEXT = b"Error getting codec info url=http://10.0.0.7:9935/live/app_x_cam/0.ts"


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (422, [], TEXT, TEXT.replace(b"http://10.0.0.7:9935", b"https://ai.example")),
        (500, [(b"content-type", b"application/json")], b'{"error":{"message":"' + TEXT + b'"}}', None),
        (502, [(b"content-type", b"text/plain; charset=utf-8")], b"no address", b"no address"),
        (400, [(b"content-type", b"video/mp2t")], TEXT, TEXT),
        (400, [(b"content-encoding", b"gzip")], TEXT, TEXT),
        (400, [], b"\xff" + TEXT, b"\xff" + TEXT),
        (200, [], TEXT, TEXT),
    ],
)
async def test_an_error_hides_where_the_gateway_is(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, expected: bytes | None
) -> None:
    for pieces in ([body], [body[:40], body[40:], b""]):
        messages: list[Message] = []

        async def send(message: Message, messages: list[Message] = messages) -> None:
            messages.append(message)

        hidden = hide_origins(send, lambda: PublicUrls("https://ai.example"), LARGE_JSON)
        length = (b"content-length", b"%d" % len(body))
        await hidden({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        for number, piece in enumerate(pieces, 1):
            await hidden({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})
        sent = b"".join(message.get("body", b"") for message in messages)
        assert sent == (expected or body.replace(b"http://10.0.0.7:9935", b"https://ai.example"))
        assert dict(messages[0]["headers"])[b"content-length"] == b"%d" % len(sent)


async def test_a_redirect_hides_where_the_gateway_is() -> None:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    hidden = hide_origins(send, lambda: PublicUrls("https://ai.example"), LARGE_JSON)
    headers = [(b"location", b"http://gateway:9935/live/a/0.ts"), (b"content-location", b"http://gateway:9935/x")]
    await hidden({"type": "http.response.start", "status": 301, "headers": [*headers, (b"content-length", b"0")]})
    await hidden({"type": "http.response.body", "body": b""})
    assert messages[0]["headers"] == [(b"location", b"https://ai.example/live/a/0.ts"), (b"content-length", b"0")]


@pytest.mark.parametrize(
    "body",
    [b"a" * 300_000 + b": http://10.0.0.7:9935/x", b"http://10.0.0.7:9935/x, " * 4_000, b"[1:" * 20_000 + TEXT],
    ids=["one long word", "many links", "nearly addresses"],
)
async def test_an_error_that_repeats_a_long_request_holds_up_nobody_else(body: bytes) -> None:
    others = 0

    async def count_turns() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    sent = bytearray()

    async def send(message: Message) -> None:
        sent.extend(message.get("body", b""))

    hidden = hide_origins(send, lambda: PublicUrls("https://ai.example"), LARGE_JSON)
    await hidden({"type": "http.response.start", "status": 422, "headers": []})
    other = asyncio.create_task(count_turns())
    async with asyncio.timeout(60):
        await hidden({"type": "http.response.body", "body": body})
    other.cancel()
    assert others > 0
    assert sent
    assert b"10.0.0.7" not in sent


async def test_a_status_that_repeats_many_parameters_holds_up_nobody_else() -> None:
    turns: list[str] = []
    done = asyncio.Event()

    async def send(message: Message) -> None:
        turns.append(message["type"])

    async def other() -> None:
        while not done.is_set():
            turns.append("other")
            await asyncio.sleep(0)

    public = rewrite_document(send, PublicUrls("https://ai.example"), LARGE_JSON)
    await public({"type": "http.response.start", "status": 200, "headers": []})
    task = asyncio.create_task(other())
    body = b'{"last_params":[' + b"[]," * 100_000 + b'1],"whep_url":"http://10.0.0.7/live/a"}'
    await public({"type": "http.response.body", "body": body})
    done.set()
    await task
    assert turns[0] == "other"
