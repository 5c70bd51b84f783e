"""Hazard: clients that go on sending after they were refused. What they send is read at a pace, and thrown away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.network.lingering_close import (
    BURST_SECONDS,
    BYTES_PER_SECOND,
    MAX_BODY_BYTES,
    MAX_OTHER_BYTES,
    MOST_AT_A_TIME,
    DiscardPace,
    LingeringClose,
)

READ = 262_144


class Transport:
    """Notes what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.resumed = asyncio.Event()

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")
        self.resumed.set()

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> DiscardPace:
    """The pace of no connection but those of the test."""
    pace = DiscardPace()
    monkeypatch.setattr(LingeringClose, "pace", pace)
    return pace


def lingering(max_bytes: int) -> tuple[Any, LingeringClose]:
    transport: Any = Transport()
    return transport, LingeringClose(transport, asyncio.get_running_loop(), max_bytes)


def test_all_connections_share_one_pace() -> None:
    pace = DiscardPace()
    waits = [pace.seconds_until_next(100.0, READ) for _ in range(4)]
    assert waits == pytest.approx([number * READ / BYTES_PER_SECOND for number in range(1, 5)])
    assert pace.seconds_until_next(200.0, READ) == pytest.approx(READ / BYTES_PER_SECOND)


async def test_a_flood_is_paused_and_read_on(pace: DiscardPace) -> None:
    transport, closing = lingering(MAX_BODY_BYTES)
    closing.discard(READ)
    assert transport.calls == ["pause"]
    async with asyncio.timeout(60):
        await transport.resumed.wait()
    assert transport.calls == ["pause", "resume"]
    closing.stop()


async def test_a_little_is_read_at_once(pace: DiscardPace) -> None:
    transport, closing = lingering(MAX_BODY_BYTES)
    closing.discard(int(BYTES_PER_SECOND * BURST_SECONDS / 2))
    assert transport.calls == []
    closing.stop()


async def test_past_its_bound_nothing_is_read(pace: DiscardPace) -> None:
    transport, closing = lingering(MAX_OTHER_BYTES)
    closing.discard(MAX_OTHER_BYTES + 1)
    assert transport.calls == ["pause"]
    closing.stop()


async def test_a_closed_connection_is_not_read_on(pace: DiscardPace) -> None:
    transport, closing = lingering(MAX_BODY_BYTES)
    closing.discard(READ)
    closing.stop()
    await asyncio.sleep(2 * READ / BYTES_PER_SECOND)
    assert transport.calls == ["pause"]


async def test_clients_without_number_that_linger_close_the_oldest(
    pace: DiscardPace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LingeringClose, "living", {})
    opened = [lingering(MAX_BODY_BYTES) for _ in range(MOST_AT_A_TIME)]
    assert not [transport for transport, _ in opened if transport.calls]
    opened[1][1].stop()  # the client has closed: it counts no more
    opened += [lingering(MAX_BODY_BYTES) for _ in range(3)]
    assert [number for number, (transport, _) in enumerate(opened) if transport.calls] == [0, 2]
    for _, closing in opened:
        closing.stop()
    assert not LingeringClose.living
