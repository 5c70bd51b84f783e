"""Bodies that name resources are read within bounds, and name the same resource to Tollgate and to the gateway."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from config.plans import Plan
from middlewares.body_buffers import BodyBuffers
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.tenancy import request_bodies as bodies
from middlewares.tenancy.affinity_table import Resource, ResourceKind
from middlewares.tenancy.request_bodies import MAX_BYTES, read_body, replay, requested_video, started_stream

APP, OTHER = "app_aaaaaaaaaaaaaaaa", "app_bbbbbbbbbbbbbbbb"


def receiving(*messages: Message) -> Callable[[], Awaitable[Message]]:
    """`receive` of these messages, and of nothing after them."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def exchange_of_app() -> Exchange:
    exchange = Exchange("id", 0.0, "POST", "/")
    exchange.principal = Principal(APP, None, "key_a", "plan", Plan())
    return exchange


async def test_a_body_is_read_whole_and_given_again() -> None:
    receive = receiving(part(b"ab", True), part(b"", True), part(b"c", False), {"type": "http.disconnect"})
    exchange = exchange_of_app()
    buffers = BodyBuffers(MAX_BYTES, MAX_BYTES)
    body = await read_body(receive, exchange, buffers)
    assert buffers.total == exchange.buffered == 3
    again = replay(body, exchange, receive)
    assert await again() == part(b"abc", False)
    assert (await again())["type"] == "http.disconnect"
    assert (exchange.content_length, exchange.has_body) == (3, True)


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([part(b"a", True), {"type": "http.disconnect"}], 400),
        ([part(b"a", True)], 408),
        ([part(b" " * (MAX_BYTES // 2 + 1), True)] * 2, 413),
    ],
    ids=["left", "stalled", "too large"],
)
async def test_a_body_that_does_not_end_is_given_up(
    messages: list[Message], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.01)
    with pytest.raises(Refusal) as refused:
        await read_body(receiving(*messages), exchange_of_app(), BodyBuffers(2 * MAX_BYTES, 2 * MAX_BYTES))
    assert (refused.value.status, refused.value.close) == (status, True)


@pytest.mark.parametrize(
    ("requested", "name"),
    [
        ({"stream_name": "cam", "stream_id": "1"}, f"{APP}_cam-1"),
        ({"stream_name": None, "stream_id": "1"}, f"{APP}_1"),
        ({"stream_name": f"{APP}_cam", "stream_id": "1"}, f"{APP}_cam-1"),
        ({"stream_id": f"{APP}_cam-1"}, f"{APP}_cam-1"),
    ],
)
def test_a_stream_begins_under_its_owners_id(requested: dict[str, object], name: str) -> None:
    resource, body = started_stream(
        APP, json.dumps({**requested, "params": "{}", "rtmp_output": "rtmp://10.0.0.1/x"}).encode()
    )
    assert resource == Resource(APP, ResourceKind.BYOC, name)
    assert json.loads(body) == {"params": "{}", "stream_id": name}


def test_a_stream_without_a_name_gets_one_of_its_own() -> None:
    (first, _), (second, _) = started_stream(APP, b"{}"), started_stream(APP, b'{"stream_name":"cam"}')
    assert first != started_stream(APP, b"{}")[0]
    assert second.name.startswith(f"{APP}_cam-")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"stream_id":"%b_cam"}' % OTHER.encode(), 404),
        (b'{"stream_name":"%b_cam"}' % OTHER.encode(), 404),
        (b'{"stream_id":7}', 400),
        (b'{"stream_id":"a/b"}', 400),
        (b'{"stream_id":"%b"}' % (b"n" * 180), 400),
        (b'{"Stream_Name":"cam"}', 400),
        (b'{"RTMP_OUTPUT":"rtmp://10.0.0.1/x"}', 400),
        (b"[" * 100_000, 400),
        (b"\xff", 400),
    ],
)
def test_what_cannot_be_started(body: bytes, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        started_stream(APP, body)
    assert refused.value.status == status


@given(st.dictionaries(st.sampled_from(["stream_name", "stream_id", "params"]), st.text() | st.none() | st.integers()))
def test_whatever_is_requested_begins_in_the_callers_namespace(requested: dict[str, object]) -> None:
    try:
        resource, body = started_stream(APP, json.dumps(requested).encode())
    except Refusal:
        return
    assert resource.name.startswith(f"{APP}_")
    started = json.loads(body)
    assert started["stream_id"] == resource.name
    assert "stream_name" not in started


def test_half_of_a_surrogate_pair_is_no_error() -> None:
    _, body = started_stream(APP, b'{"params":"\\ud800","stream_id":"cam"}')
    assert json.loads(body) == {"params": "\ufffd", "stream_id": f"{APP}_cam"}


def test_the_video_that_a_body_requests() -> None:
    assert requested_video(APP, b'{"request_id":"0a1b2c3d"}') == Resource(APP, ResourceKind.VIDEO, "0a1b2c3d")
    for body in (b'{"request_id":""}', b'{"request_id":7}', b"{}", b'{"REQUEST_ID":"0a1b2c3d"}', b'"0a1b2c3d"'):
        with pytest.raises(Refusal) as refused:
            requested_video(APP, body)
        assert refused.value.status == 400
