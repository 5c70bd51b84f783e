"""Records of apps, users and keys in a real Redis."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from config.workloads import Workload
from middlewares.auth.keys import is_id, matches, parse_client_secret, parse_key
from middlewares.auth.records import AppRecord, KeyRecord, RecordRef
from middlewares.store import StoreRejected
from proxy.control.api_keys import ApiKeys, KeyEnded
from proxy.control.apps import Apps
from proxy.control.records import APPS, Records, UnknownRecord, keys_of, name_of
from proxy.control.users import Users
from proxy.identity.record_directory import RecordDirectory
from proxy.store.store import Store

PEPPER = b"pepper"


@pytest.fixture
def apps(store: Store) -> Apps:
    return Apps(store.redis, PEPPER)


@pytest.fixture
def keys(store: Store) -> ApiKeys:
    return ApiKeys(store.redis, PEPPER)


@pytest.fixture
def users(store: Store) -> Users:
    return Users(store.redis)


async def test_an_app_is_kept_with_a_hash_of_its_secret(apps: Apps) -> None:
    app, secret = await apps.create("Acme & Söhne", "free", tier="gold")
    assert await apps.get(app.client_id) == app
    assert app.client_id.startswith("app_")
    assert is_id(app.client_id.removeprefix("app_"))
    assert (app.name, app.plan, app.tier, app.status) == ("Acme & Söhne", "free", "gold", "active")
    assert datetime.now(UTC) - app.created_at < timedelta(minutes=1)
    part = parse_client_secret(secret.encode())
    assert part is not None
    assert matches(part, app.secret_hash, PEPPER)
    assert await apps.get("app_nobody") is None


@pytest.mark.ci
async def test_apps_are_listed_oldest_first(apps: Apps) -> None:
    made = [(await apps.create(f"app {number}", "free"))[0] for number in range(1_203)]
    assert await apps.list() == made


async def test_a_key_is_kept_with_everything_it_is_narrowed_to(apps: Apps, keys: ApiKeys, users: Users) -> None:
    app, _ = await apps.create("Acme", "free")
    user, _ = await users.create(app.client_id, "ann")
    expires_at = datetime.now(UTC) + timedelta(days=1)
    record, text = await keys.create(
        app.client_id,
        user=user.user_id,
        name="laptop",
        expires_at=expires_at,
        workloads=[Workload.LLM],
        models=["m1", "m2"],
        cidrs=["192.0.2.0/24", "2001:db8::1", "::ffff:10.0.0.0/104"],
    )
    assert await keys.get(record.key_id) == record
    assert record == KeyRecord(
        key_id=record.key_id,
        app=app.client_id,
        hash=record.hash,
        last4=text[-4:],
        created_at=record.created_at,
        name="laptop",
        user=user.user_id,
        expires_at=expires_at,
        workloads=frozenset({Workload.LLM}),
        models=frozenset({"m1", "m2"}),
        cidrs=("192.0.2.0/24", "2001:db8::1/128", "10.0.0.0/8"),
        family=record.key_id,
    )
    parsed = parse_key(text.encode())
    assert parsed is not None
    assert parsed.key_id == record.key_id
    assert matches(parsed.secret, record.hash, PEPPER)


async def test_keys_of_one_app_are_not_listed_with_another(apps: Apps, keys: ApiKeys) -> None:
    first, second = [(await apps.create(name, "free"))[0] for name in ("first", "second")]
    made = [(await keys.create(first.client_id))[0] for _ in range(3)]
    assert await keys.list(first.client_id) == made
    assert await keys.list(second.client_id) == []


async def test_nothing_is_made_for_those_who_do_not_exist(
    apps: Apps, keys: ApiKeys, users: Users, store: Store
) -> None:
    app, _ = await apps.create("Acme", "free")
    other, _ = await apps.create("Other", "free")
    foreign, _ = await users.create(other.client_id, "ann")
    for attempt in (
        keys.create("app_nobody"),
        keys.create(app.client_id, user="usr_nobody"),
        keys.create(app.client_id, user=foreign.user_id),
        keys.list("app_nobody"),
        keys.revoke("nokey"),
        users.create("app_nobody", "ann"),
        users.list("app_nobody"),
        apps.set_status("app_nobody", "suspended"),
    ):
        with pytest.raises(UnknownRecord):
            await attempt
    with pytest.raises(ValueError, match=r"192\.0\.2\.1/24"):
        await keys.create(app.client_id, cidrs=["192.0.2.1/24"])
    assert await store.redis.keys("tollgate:key:*") == []


async def test_a_revoked_key_stays_listed(apps: Apps, keys: ApiKeys) -> None:
    app, _ = await apps.create("Acme", "free")
    record, _ = await keys.create(app.client_id)
    revoked = await keys.revoke(record.key_id)
    assert revoked == replace(record, status="revoked")
    assert await keys.list(app.client_id) == [revoked]


async def test_a_rotated_key_ends_after_the_overlap_and_its_successor_may_do_the_same(
    apps: Apps, keys: ApiKeys, users: Users
) -> None:
    app, _ = await apps.create("Acme", "free")
    user, _ = await users.create(app.client_id, "ann")
    before = datetime.now(UTC)
    narrowed = {"user": user.user_id, "name": "laptop", "workloads": [Workload.LLM], "models": ["m"]}
    record, text = await keys.create(app.client_id, cidrs=["10.0.0.0/8"], **narrowed)  # type: ignore[arg-type]
    old, new, new_text = await keys.rotate(record.key_id, timedelta(hours=24))
    assert old.expires_at is not None
    assert timedelta(hours=24) <= old.expires_at - before < timedelta(hours=25)
    assert old == replace(record, expires_at=old.expires_at, replaced_by=new.key_id)
    own = {"key_id": new.key_id, "hash": new.hash, "last4": new.last4, "created_at": new.created_at}
    own |= {"replaces": record.key_id}
    assert new == replace(record, **own)  # type: ignore[arg-type]
    assert {new.key_id, new.hash, new_text}.isdisjoint({record.key_id, record.hash, text})
    assert await keys.list(app.client_id) == [old, new]


async def test_a_rotation_makes_no_key_live_longer(apps: Apps, keys: ApiKeys) -> None:
    app, _ = await apps.create("Acme", "free")
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (1, 30))
    record, _ = await keys.create(app.client_id, expires_at=soon)
    old, new, _ = await keys.rotate(record.key_id, timedelta(days=7))
    assert (old.expires_at, new.expires_at) == (soon, soon)
    old, new, _ = await keys.rotate(new.key_id, timedelta(0), expires_at=later)
    assert old.expires_at is not None
    assert old.expires_at <= datetime.now(UTC)
    assert new.expires_at == later


async def test_a_key_that_has_ended_or_was_rotated_is_not_rotated(apps: Apps, keys: ApiKeys) -> None:
    app, _ = await apps.create("Acme", "free")
    revoked, _ = await keys.create(app.client_id)
    await keys.revoke(revoked.key_id)
    expired, _ = await keys.create(app.client_id, expires_at=datetime.now(UTC))
    rotated, _ = await keys.create(app.client_id)
    _, successor, _ = await keys.rotate(rotated.key_id, timedelta(hours=1))
    for record, said in ((revoked, "has ended"), (expired, "has ended"), (rotated, successor.key_id)):
        with pytest.raises(KeyEnded, match=said):
            await keys.rotate(record.key_id, timedelta(hours=1))
    with pytest.raises(UnknownRecord):
        await keys.rotate("a" * 16, timedelta(hours=1))
    assert len(await keys.list(app.client_id)) == 4


async def test_a_key_rotated_by_many_at_once_has_one_successor(apps: Apps, keys: ApiKeys) -> None:
    app, _ = await apps.create("Acme", "free")
    record, _ = await keys.create(app.client_id)
    attempts = (keys.rotate(record.key_id, timedelta(hours=1)) for _ in range(10))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    (won,) = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert sum(isinstance(outcome, KeyEnded) for outcome in outcomes) == 9
    alive = [key for key in await keys.list(app.client_id) if key.status == "active"]
    assert alive == [won[0], won[1]]


async def test_users_are_unique_by_external_id_within_their_app(apps: Apps, users: Users) -> None:
    first, second = [(await apps.create(name, "free"))[0].client_id for name in ("first", "second")]
    ann, new = await users.create(first, "ann@example.com", email="ann@example.com")
    assert new
    assert await users.create(first, "ann@example.com") == (ann, False)
    assert await users.get(first, ann.user_id) == ann
    assert await users.find(first, "ann@example.com") == ann
    assert await users.find(second, "ann@example.com") is None
    assert await users.get(second, ann.user_id) is None
    twin, new = await users.create(second, "ann@example.com")
    assert new
    assert twin.user_id != ann.user_id
    assert await users.list(first) == [ann]


async def test_one_user_created_many_times_at_once_is_one(apps: Apps, users: Users) -> None:
    app, _ = await apps.create("Acme", "free")
    made = await asyncio.gather(*(users.create(app.client_id, "ann") for _ in range(50)))
    assert len({user.user_id for user, _ in made}) == 1
    assert [new for _, new in made].count(True) == 1


async def test_a_crash_between_index_and_record_leaves_nothing_that_works_unlisted(
    apps: Apps, keys: ApiKeys, users: Users, store: Store
) -> None:
    app, _ = await apps.create("Acme", "free")
    await store.redis.sadd(APPS, "app_crashed")
    await store.redis.sadd(keys_of(app.client_id), "crashed")
    await store.redis.hset(f"tollgate:app-users:{{{app.client_id}}}", "ann", "usr_crashed")
    assert await apps.list() == [app]
    assert await keys.list(app.client_id) == []
    assert await users.list(app.client_id) == []
    ann, new = await users.create(app.client_id, "ann")
    assert new
    assert ann.user_id == "usr_crashed"


async def test_changes_made_at_once_do_not_undo_each_other(apps: Apps, store: Store) -> None:
    app, _ = await apps.create("0", "free")
    records = Records(store.redis, AppRecord)

    def longer(record: AppRecord) -> AppRecord:
        return replace(record, name=record.name + "+")

    await asyncio.gather(*(records.change(app.ref, longer) for _ in range(20)))
    changed = await apps.get(app.client_id)
    assert changed is not None
    assert changed.name == "0" + 20 * "+"


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b'{"client_id":"x"}', b'{"status":"great"}', b"\xff"])
async def test_a_record_that_is_none_is_an_error_of_the_store(apps: Apps, store: Store, document: bytes) -> None:
    ref = RecordRef("app", "app_broken")
    await store.redis.set(name_of(ref), document)
    with pytest.raises(StoreRejected, match="app app_broken"):
        await apps.get("app_broken")
    with pytest.raises(StoreRejected, match="app app_broken"):
        await RecordDirectory(store).app("app_broken")


async def test_the_directory_finds_what_the_control_plane_wrote(
    apps: Apps, keys: ApiKeys, users: Users, store: Store
) -> None:
    directory = RecordDirectory(store)
    app, _ = await apps.create("Acme", "free")
    user, _ = await users.create(app.client_id, "ann")
    key, _ = await keys.create(app.client_id)
    assert await directory.app(app.client_id) == app
    assert await directory.user(app.client_id, user.user_id) == user
    assert await directory.key(key.key_id) == key
    assert await directory.app("app_nobody") is None
    assert await directory.user(app.client_id, "nobody") is None
    assert await directory.key("nobody") is None


@pytest.mark.parametrize("status", ["suspended", "active"])
async def test_an_apps_status_can_be_changed(apps: Apps, status: Literal["suspended", "active"]) -> None:
    app, _ = await apps.create("Acme", "free")
    assert await apps.set_status(app.client_id, status) == replace(app, status=status)
    assert await apps.get(app.client_id) == replace(app, status=status)
