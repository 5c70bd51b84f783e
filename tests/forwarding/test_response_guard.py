"""When Tollgate ends a response that would not end: too long, or an event stream of nothing but line ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.routing import ResponseLimits
from middlewares.exchange import Headers, Outcome, Refusal
from proxy.forwarding.response_guard import FLOODED, TOO_LONG, ResponseGuard
from tests.forwarding.fakes import Forwarded, forwarding, responding, response

SSE: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON: Headers = [(b"content-type", b"application/json")]


def limits(*, seconds: float = 60, max_bytes: int | None = None, empty_lines: int = 4) -> ResponseLimits:
    return ResponseLimits.model_validate({"seconds": seconds, "bytes": max_bytes, "empty_lines": empty_lines})


PARTS = st.lists(st.binary(max_size=4) | st.text("\r\n", max_size=6).map(str.encode), max_size=30)


@given(PARTS, st.integers(2, 6))
def test_a_flood_is_a_run_of_line_ends_at_the_end_of_what_came_so_far(parts: list[bytes], empty_lines: int) -> None:
    """However the response is cut into parts: a guard over parts agrees with a plain reading of the whole."""
    guard = ResponseGuard(limits(empty_lines=empty_lines), SSE, 0.0)
    body = b""
    for part in parts:
        body += part
        run = body[len(body.rstrip(b"\r\n")) :]
        assert guard.flood_detected(part, 0.0) is (run.count(b"\n") > empty_lines)


@given(PARTS, st.integers(1, 40))
def test_a_response_may_have_its_limit_of_bytes_and_not_one_more(parts: list[bytes], max_bytes: int) -> None:
    guard = ResponseGuard(limits(max_bytes=max_bytes), JSON, 0.0)
    size = 0
    for part in parts:
        size += len(part)
        if size > max_bytes:
            with pytest.raises(Refusal) as refused:
                guard.flood_detected(part, 0.0)
            assert (refused.value.status, refused.value.code) == (502, TOO_LONG)
            return
        assert not guard.flood_detected(part, 0.0)


def test_a_response_may_last_as_long_as_its_limit() -> None:
    guard = ResponseGuard(limits(seconds=60), JSON, 100.0)
    assert not guard.flood_detected(b"a", 160.0)
    with pytest.raises(Refusal) as refused:
        guard.flood_detected(b"a", 160.1)
    assert refused.value.code == TOO_LONG


@pytest.mark.parametrize("headers", [JSON, []])
def test_only_an_event_stream_can_flood(headers: Headers) -> None:
    assert not ResponseGuard(limits(empty_lines=2), headers, 0.0).flood_detected(b"\n" * 1_000, 0.0)


async def test_a_flooded_event_stream_ends_as_a_complete_response() -> None:
    """Its worker has nothing more to send: what came counts, and the gateway's connection is closed."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    flood = b"".join(b"2\r\n\n\n\r\n" for _ in range(100))
    raw = head + b"9\r\ndata: a\n\n\r\n" + flood
    async with forwarding(responding(raw), answers={"playback": {"empty_lines": 10}}) as forwarder:
        forwarded = await forwarder.forward()
    assert forwarded.complete
    assert forwarded.body.startswith(b"data: a\n\n")
    assert forwarded.exchange.ending.outcome is Outcome.REFUSED
    assert forwarded.exchange.ending.code == FLOODED


async def test_a_response_that_is_too_long_is_cut_off() -> None:
    results: list[Forwarded] = []
    async with forwarding(responding(response(b"a" * 200_000)), answers={"playback": {"bytes": 1_000}}) as forwarder:
        with pytest.raises(Refusal) as refused:
            await forwarder.forward(results=results)
    [forwarded] = results
    assert refused.value.code == forwarded.exchange.ending.code == TOO_LONG
    assert forwarded.exchange.ending.outcome is Outcome.REFUSED
    assert not forwarded.complete
