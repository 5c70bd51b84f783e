"""An entry of the registry that cannot be read: it keeps no other stream from being charged and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.mock_gateway import MockGateway
from tests.ledger.redis_time import Clocked
from tests.live.assertions import LedgerView
from tests.live.byoc_worker import TICK, Worker, start_at


@pytest.fixture
async def gateway() -> AsyncIterator[MockGateway]:
    """A mock gateway on which `STREAM` runs."""
    async with MockGateway() as mock_gateway:
        await start_at(mock_gateway)
        yield mock_gateway


@pytest.mark.parametrize(("entry", "text"), [(b"old", b'{"of": "another version"}'), (b"cut", b"{"), (b"\xff", b"{}")])
async def test_the_other_streams_are_charged(
    worker: Worker, ledger_view: LedgerView, clocked: Clocked, entry: bytes, text: bytes
) -> None:
    await worker.start("postpaid")
    keys = ledger_view.keys
    await ledger_view.store.redis.hset(keys.streams(keys.tag(worker.app)), entry, text)
    clocked.now_ms += TICK
    await worker.keeper.sweep()
    assert await worker.lived() == TICK


async def test_a_sweep_that_fails_is_not_the_last(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = 0
    third = asyncio.Event()

    async def failing() -> None:
        nonlocal sweeps
        sweeps += 1
        if sweeps == 3:
            third.set()
        raise ValueError("unexpected")

    monkeypatch.setattr(worker.streams, "tick", 1)
    monkeypatch.setattr(worker.keeper, "sweep", failing)
    running = asyncio.create_task(worker.keeper.run())
    async with asyncio.timeout(60):
        await third.wait()
    running.cancel()
