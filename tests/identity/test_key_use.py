"""When keys were last used is written in batches, off the path of requests, and never moves back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from proxy.control.key_use import COARSE_SECONDS, KeyUse
from proxy.identity import key_use_recorder
from proxy.identity.key_use_recorder import KeyUseRecorder
from proxy.store.store import Store
from tests.store.servers import eventually

NOW = 1_900_000_123
COARSE = datetime(2030, 3, 17, 17, 45, tzinfo=UTC)


async def test_a_time_is_coarse_and_never_moves_back(store: Store) -> None:
    """Hazard: two workers that write down the same key in the other order."""
    use = KeyUse(store.redis)
    many = {f"key{number}": "app_a" for number in range(1_203)}
    await use.record({**many, "key_b": "app_b"}, NOW)
    await use.record({"key7": "app_a"}, NOW - COARSE_SECONDS)
    found = await use.of("app_a")
    assert set(found) == set(many)
    assert set(found.values()) == {COARSE}
    await use.record({"key7": "app_a"}, NOW + COARSE_SECONDS)
    assert (await use.of("app_a"))["key7"] == COARSE + timedelta(seconds=COARSE_SECONDS)
    assert await use.of("app_b") == {"key_b": COARSE}
    assert await use.of("app_c") == {}


class Counting:
    """A client that counts its calls, and fails while it is told to."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls = 0
        self.away = False

    async def eval(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.away:
            raise RedisConnectionError("nobody there")
        return await self.client.eval(*arguments)


async def test_a_worker_writes_once_for_an_app_and_forgets_nothing(store: Store) -> None:
    """Hazard: a call to Redis for each request; notes that are lost with one failure of Redis."""
    counting: Any = Counting(store.redis)
    recorder = KeyUseRecorder(counting)
    used = recorder.used
    for number in range(1_000):
        used[f"key{number % 3}"] = "app_a"
    await recorder.flush()
    assert counting.calls == 1
    await recorder.flush()
    assert counting.calls == 1, "nothing was used since"
    counting.away = True
    used["key9"] = "app_a"
    await recorder.flush()
    assert used == {"key9": "app_a"}
    assert used is recorder.used
    counting.away = False
    await recorder.flush()
    assert set(await KeyUse(store.redis).of("app_a")) == {"key0", "key1", "key2", "key9"}


async def written(store: Store, key: str) -> bool:
    return key in await KeyUse(store.redis).of("app_a")


async def test_it_is_written_again_and_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_use_recorder, "COARSE_SECONDS", 0.01)
    recorder = KeyUseRecorder(store.redis)
    running = asyncio.create_task(recorder.run())
    for key in ("one", "two"):
        recorder.used[key] = "app_a"
        await eventually(partial(written, store, key))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
