"""Ids in responses are reported however the response's bytes are cut, before the client can have them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from middlewares.tenancy.affinity_table import ResourceKind
from middlewares.tenancy.public_urls import PublicUrls
from middlewares.tenancy.responses import report_created_ids, rewrite_document

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

    public = rewrite_document(send, PublicUrls("https://ai.example"))
    headers = [(b"content-length", b"%d" % len(response))]
    await public({"type": "http.response.start", "status": 200, "headers": headers})
    assert messages == []
    await public({"type": "http.response.body", "body": response, "more_body": False})
    assert messages[0]["headers"] == [(b"content-length", b"%d" % len(expected))]
    assert messages[1]["body"] == expected
