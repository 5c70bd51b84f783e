"""A rotation that ends between two of its calls. Hazard: a key more than anybody knows of, or one less than is used."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from middlewares.auth.records import KeyRecord, RecordRef
from middlewares.ledger.admission.key_limits import KeyLimits
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.key_age_watch import KeyAgeWatch
from proxy.control.records import APPS, Client, Records, indexed, keys_of
from proxy.store.store import Store

HOUR = timedelta(hours=1)
_CALLS = {"get", "set", "eval", "publish", "hset", "hdel", "sadd", "srem", "delete", "sscan_iter"}


class Cut(BaseException):
    """The process ends."""


class CutOff:
    """A client of Redis whose process ends at one of its calls: before Redis has taken it, or right behind it."""

    def __init__(self, redis: Client, calls: int, *, taken: bool) -> None:
        self._redis = redis
        self._left = calls
        self._taken = taken

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._redis, name)
        if name not in _CALLS:
            return found
        if name == "sscan_iter":
            self._count()
            return found

        async def call(*args: Any, **named: Any) -> Any:
            if self._left == 1 and self._taken:
                await found(*args, **named)
            self._count()
            return await found(*args, **named)

        return call

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Cut


async def cut_short(store: Store, key_id: str, calls: int, *, taken: bool) -> bool:
    """Rotate a key by a process that ends at that call. Return False if it came to its end before."""
    client: Any = CutOff(store.redis, calls, taken=taken)
    try:
        await ApiKeys(client, None).rotate(key_id, HOUR)
    except Cut:
        return True
    return False


@pytest.mark.parametrize("taken", [False, True])
async def test_a_rotation_that_was_cut_short_anywhere_was_done_or_was_not(store: Store, *, taken: bool) -> None:
    keys, calls, undone, done = ApiKeys(store.redis, None), 0, 0, 0
    while True:
        calls += 1
        app, _ = await Apps(store.redis, None).create(f"Acme {calls}", "free")
        record, _ = await keys.create(app.client_id, name="laptop", limits={"concurrent": 3})
        if not await cut_short(store, record.key_id, calls, taken=taken):
            break
        listed = await keys.list(app.client_id)
        if listed == [record]:
            undone += 1
        else:
            old, new = listed
            assert (old.replaced_by, new.replaces, new.limits) == (new.key_id, old.key_id, record.limits), calls
            done += 1
        _, latest, _ = await keys.rotate(listed[-1].key_id, HOUR)
        assert [each.key_id for each in await keys.list(app.client_id)] == [
            *(each.key_id for each in listed),
            latest.key_id,
        ]
        written = {each.key_id for each in await _records(store, app.client_id)}
        assert written == {*(each.key_id for each in listed), latest.key_id}, calls
    assert undone > 2
    assert done > 1


async def test_nobody_is_reminded_of_a_key_of_a_rotation_that_was_cut_short(store: Store) -> None:
    app, _ = await Apps(store.redis, None).create("Acme", "free")
    keys, records = ApiKeys(store.redis, None), Records(store.redis, KeyRecord)
    record, _ = await keys.create(app.client_id)
    calls = 1
    while len(await _records(store, app.client_id)) < 2:
        assert await cut_short(store, record.key_id, calls, taken=True)
        calls += 1
    aged = datetime.now(UTC) - timedelta(days=100)
    for each in await _records(store, app.client_id):
        await records.change(each.ref, lambda key: replace(key, created_at=aged))
    await store.redis.sadd(APPS, app.client_id)
    assert (await KeyAgeWatch(store.redis, 90).count()).examples == [record.key_id]


async def test_a_successor_has_what_the_key_was_changed_to_meanwhile(store: Store) -> None:
    """Hazard: a rotation that is cut short behind a change of its key, and a successor without that."""
    app, _ = await Apps(store.redis, None).create("Acme", "free")
    keys = ApiKeys(store.redis, None)
    record, _ = await keys.create(app.client_id, limits={"concurrent": 3})

    class Changing(ApiKeys):
        async def _add(self, record: KeyRecord) -> None:
            await super()._add(record)
            await keys.change(record.replaces or "", limits={"concurrent": 1})

    old, new, _ = await Changing(store.redis, None).rotate(record.key_id, HOUR)
    assert old.limits == new.limits == KeyLimits(concurrent=1)
    assert await keys.list(app.client_id) == [old, new]


async def _records(store: Store, client_id: str) -> list[KeyRecord]:
    ids = await indexed(store.redis, keys_of(client_id))
    return await Records(store.redis, KeyRecord).several([RecordRef("key", each) for each in ids])
