"""Thousands of events in one read: others have their turn while they are read on their way."""

import asyncio

import pytest

from proxy.forwarding.relay import EVENT_SLICE
from tests.forwarding.fakes import Forwarded, forwarding, responding, response

EVENTS = b"data: {}\n\n" * 5_000 + b"data: [DONE]\n\n"


@pytest.mark.parametrize("body", [EVENTS, EVENTS[:EVENT_SLICE], EVENTS[: 10 * EVENT_SLICE], EVENTS[:-1], b""])
async def test_a_burst_of_events_is_sent_in_slices_with_turns_between(body: bytes) -> None:
    turns: list[int] = []
    turn = 0

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def note(forwarded: Forwarded) -> None:
        turns.append(turn)

    raw = response(body, headers={b"content-type": b"text/event-stream"})
    async with forwarding(responding(raw)) as forwarder:
        counting = asyncio.create_task(count())
        forwarded = await forwarder.forward(on_send=note)
        counting.cancel()
    assert (forwarded.body, forwarded.complete) == (body, True)
    parts = [message["body"] for message in forwarded.sent[1:]]
    assert max(map(len, parts)) <= EVENT_SLICE
    full = [at for part, at in zip(parts, turns[1:], strict=True) if part]
    assert len(set(full)) == len(full)


async def test_other_responses_stay_in_one_piece() -> None:
    async with forwarding(responding(response(EVENTS, headers={b"content-type": b"video/mp2t"}))) as forwarder:
        forwarded = await forwarder.forward()
    assert forwarded.body == EVENTS
    assert max(len(message.get("body", b"")) for message in forwarded.sent) > EVENT_SLICE
