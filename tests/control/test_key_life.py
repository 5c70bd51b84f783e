"""What a key has beside its secret, how it is changed, and what a rotation keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from middlewares.auth.records import KeyRecord, RecordRef
from middlewares.ledger.admission.key_limits import Increase, KeyLimits, KeyTerms
from proxy.control.api_keys import ApiKeys, KeyEnded
from proxy.control.apps import Apps
from proxy.control.key_changes import increase_of
from proxy.control.records import name_of
from proxy.store.store import Store

PEPPER = b"pepper"
HOUR = timedelta(hours=1)
TOMORROW = datetime.now(UTC) + timedelta(days=1)
OLD_RECORD = {
    "key_id": "aaaaaaaaaaaaaaaa",
    "app": "app_a",
    "hash": "sha256:00",
    "last4": "wxyz",
    "created_at": "2026-01-01T00:00:00Z",
    "name": "of an earlier version",
    "user": None,
    "status": "active",
    "expires_at": None,
    "workloads": None,
    "models": None,
    "cidrs": None,
    "replaced_by": None,
}


@pytest.fixture
def keys(store: Store) -> ApiKeys:
    return ApiKeys(store.redis, PEPPER)


@pytest.fixture
async def app(store: Store) -> str:
    return (await Apps(store.redis, PEPPER).create("Acme", "free"))[0].client_id


async def test_records_of_earlier_versions_are_read(store: Store, keys: ApiKeys) -> None:
    """Hazard: an upgrade after which no key works any more."""
    record = msgspec.json.decode(msgspec.json.encode(OLD_RECORD), type=KeyRecord)
    assert (record.terms, record.root, record.origins, record.streams) == (None, record.key_id, None, None)
    await store.redis.set(name_of(record.ref), msgspec.json.encode(OLD_RECORD))
    _, new, _ = await keys.rotate(record.key_id, HOUR)
    assert (new.family, new.terms) == (record.key_id, KeyTerms(record.key_id))
    changed = await keys.change(new.key_id, limits={"concurrent": 2})
    assert changed.terms == KeyTerms(record.key_id, KeyLimits(concurrent=2))
    assert await keys.get(record.key_id) == replace(
        record,
        replaced_by=new.key_id,
        expires_at=(await keys.get(record.key_id) or record).expires_at,
        limits=KeyLimits(concurrent=2),
    )


@dataclass(frozen=True, slots=True)
class EarlierRecord:
    """A key as a worker of an earlier version reads it."""

    key_id: str
    app: str
    hash: str
    cidrs: tuple[str, ...] | None = None


async def test_workers_of_earlier_versions_read_new_records(store: Store, keys: ApiKeys, app: str) -> None:
    """Hazard: a rolling upgrade in which the workers that are still old refuse every key with a new field."""
    record, _ = await keys.create(app, limits={"spend_total": "5"}, origins=["https://app.example"], streams=["cam"])
    document = await store.redis.get(name_of(record.ref))
    assert document is not None
    assert msgspec.json.decode(document, type=EarlierRecord) == EarlierRecord(record.key_id, app, record.hash)


async def test_a_key_keeps_its_limits_and_its_counters_in_a_rotation(keys: ApiKeys, app: str) -> None:
    """Hazard: a cap that is doubled by a rotation."""
    first, _ = await keys.create(
        app,
        description="the kiosk",
        limits={"spend_per_day": str(10**27), "requests_per_minute": 5},
        increase=increase_of({"requests_per_minute": 50}, TOMORROW),
        origins=["https://app.example"],
        streams=["cam"],
    )
    assert first.terms == KeyTerms(
        first.key_id,
        KeyLimits(spend_per_day=str(10**27), requests_per_minute=5),
        Increase(KeyLimits(requests_per_minute=50), TOMORROW),
    )
    _, second, _ = await keys.rotate(first.key_id, HOUR)
    _, third, _ = await keys.rotate(second.key_id, HOUR)
    for new, before in ((second, first), (third, second)):
        assert new == replace(
            first, key_id=new.key_id, hash=new.hash, last4=new.last4, created_at=new.created_at, replaces=before.key_id
        )
        assert new.terms == first.terms


async def test_a_change_replaces_what_it_names_and_reaches_the_keys_before_it(
    store: Store, keys: ApiKeys, app: str
) -> None:
    """Hazard: a leaked key that goes on under the limits from before, while its successor is held to the new ones."""
    first, _ = await keys.create(app, name="kiosk", limits={"concurrent": 3, "spend_total": "100"}, streams=["cam"])
    _, second, _ = await keys.rotate(first.key_id, HOUR)
    async with store.redis.pubsub() as notices:
        await notices.subscribe("tollgate:changes")
        changed = await keys.change(second.key_id, limits={"spend_total": "7", "requests_per_minute": 2}, streams=[])
        heard: list[RecordRef] = []
        while len(heard) < 2:
            message = await notices.get_message(ignore_subscribe_messages=True, timeout=60)
            if message:
                heard.append(msgspec.json.decode(message["data"], type=RecordRef))
    assert heard == [second.ref, first.ref]
    assert changed == replace(
        second, limits=KeyLimits(concurrent=3, spend_total="7", requests_per_minute=2), streams=None
    )
    older = await keys.get(first.key_id)
    assert older is not None
    assert (older.limits, older.streams) == (changed.limits, frozenset({"cam"}))
    none = await keys.change(
        second.key_id, limits={"concurrent": None, "spend_total": None, "requests_per_minute": None}
    )
    assert none.limits is None
    with pytest.raises(KeyEnded, match=f"the key to change now is {second.key_id}"):
        await keys.change(first.key_id, name="late")
    await keys.revoke(second.key_id)
    with pytest.raises(KeyEnded, match="has ended"):
        await keys.change(second.key_id, name="late")


async def test_a_change_in_the_middle_of_a_rotation_is_not_lost(
    keys: ApiKeys, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a successor with the limits that its key had a moment before."""
    first, _ = await keys.create(app, limits={"concurrent": 3})
    add = keys._add  # the moment between the two writes of a rotation

    async def add_late(record: KeyRecord) -> None:
        await keys.change(first.key_id, limits={"concurrent": 1}, description="held back")
        await add(record)

    monkeypatch.setattr(keys, "_add", add_late)
    _, second, _ = await keys.rotate(first.key_id, HOUR)
    assert (second.limits, second.description) == (KeyLimits(concurrent=1), "held back")
    assert await keys.get(second.key_id) == second


@pytest.mark.parametrize("usual", [1_000, None])
async def test_an_increase_that_has_ended_does_not_bind_changes(keys: ApiKeys, app: str, usual: int | None) -> None:
    """Hazard: a key whose usual limits can be neither raised nor removed, for an increase that nobody has any more."""
    ended = increase_of({"requests_per_minute": 100}, datetime.now(UTC) - HOUR)
    first, _ = await keys.create(app, limits={"requests_per_minute": 60, "concurrent": 3}, increase=ended)
    old, second, _ = await keys.rotate(first.key_id, HOUR)
    assert (old.increase, second.increase) == (ended, None), "a rotation hands on what is living"
    changed = await keys.change(second.key_id, limits={"requests_per_minute": usual})
    assert (changed.limits, changed.increase) == (KeyLimits(requests_per_minute=usual, concurrent=3), None)
    assert (await keys.get(first.key_id) or first).limits == changed.limits, "it follows the limits of its successor"


async def test_an_increase_that_goes_on_binds_changes(keys: ApiKeys, app: str) -> None:
    """Hazard: an increase that is below the usual limits lowers them while it lasts."""
    living = increase_of({"requests_per_minute": 100}, TOMORROW)
    key, _ = await keys.create(app, limits={"requests_per_minute": 60}, increase=living)
    with pytest.raises(ValueError, match="must be above the usual 1000"):
        await keys.change(key.key_id, limits={"requests_per_minute": 1_000})
    changed = await keys.change(key.key_id, limits={"requests_per_minute": 1_000}, increase=None)
    assert (changed.limits, changed.increase) == (KeyLimits(requests_per_minute=1_000), None)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"limits": {"concurrent": 0}}, "concurrent must be a whole number"),
        ({"limits": {"requests_per_minute": 2**53 + 1}}, "requests_per_minute must be"),
        ({"limits": {"spend_per_day": "1.5"}}, "spend_per_day must be"),
        ({"limits": {"spend_total": str(10**27 + 1)}}, "spend_total must be"),
        ({"origins": ["https://app.example/"]}, "origins: must be an origin"),
        ({"origins": ["https://[::1"]}, "origins: must be an origin"),
        ({"origins": ["https://app.example:99999"]}, "origins: must be an origin"),
        ({"origins": ["*"]}, "is no origin"),
        ({"streams": ["a/b"]}, "streams: a name"),
        ({"description": "bell \a"}, "description must have"),
        ({"increase": Increase(KeyLimits(concurrent=5), TOMORROW)}, "no concurrent of its own"),
        (
            {"limits": {"concurrent": 5}, "increase": Increase(KeyLimits(concurrent=5), TOMORROW)},
            "must be above the usual 5",
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    store: Store, keys: ApiKeys, app: str, members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await keys.create(app, **members)
    assert await store.redis.keys("tollgate:key:*") == []
    record, _ = await keys.create(app)
    with pytest.raises(ValueError, match=message):
        await keys.change(record.key_id, **members)
    assert await keys.get(record.key_id) == record
