"""Developers, members, invitations, sessions and nonces in a real Redis, alone and as a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from middlewares.auth.records import RecordRef
from middlewares.ledger.periods import EPOCH
from proxy.control.apps import Apps
from proxy.control.developers.developers import Developers
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.nonces import Nonces, TooManyNonces
from proxy.control.developers.records import ForeignIdentity
from proxy.control.developers.sessions import DeveloperSessions
from proxy.control.records import UnknownRecord
from proxy.identity.change_watcher import ChangeWatcher
from proxy.store.store import Store
from tests.ledger.redis_time import NEW_YEAR
from tests.store.clusters import RedisCluster
from tests.store.conftest import servers_in
from tests.store.servers import eventually

WALLET = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
HOUR = timedelta(hours=1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with servers_in(tmp_path) as start:
        yield RedisCluster(start)


@asynccontextmanager
async def heard(store: Store) -> AsyncIterator[list[RecordRef]]:
    """Listen for notices of changes, as every worker does."""
    changes: list[RecordRef] = []
    subscribed: list[bool] = []
    watcher = ChangeWatcher(store.redis, changed=changes.append, missed=lambda: subscribed.append(True))
    await watcher.start()
    await eventually(lambda: bool(subscribed))
    yield changes
    await watcher.stop()


async def a_life(store: Store) -> None:
    """Live through all that happens to a developer."""
    apps, developers, members = Apps(store.redis, None), Developers(store.redis), Memberships(store.redis)
    sessions, invites = DeveloperSessions(store.redis, b"pepper"), Invites(store.redis, None)
    async with heard(store) as changes:
        made = await asyncio.gather(*(developers.create(WALLET) for _ in range(10)))
        assert len({each.developer_id for each, _ in made}) == 1
        assert [created for _, created in made].count(True) == 1
        developer = made[0][0]
        assert await developers.find(WALLET.lower()) == await developers.get(developer.developer_id)
        mine = [(await apps.create(f"app {number}", "free"))[0].client_id for number in range(5)]
        for app in mine:
            await members.put(app, developer.developer_id, "viewer")
        await members.put(mine[0], developer.developer_id, "owner")
        found = await members.of_developer(developer.developer_id)
        assert [(each.app, each.role) for each in found] == [
            (app, "owner" if app == mine[0] else "viewer") for app in mine
        ]
        assert await members.remove(mine[1], developer.developer_id)
        assert not await members.remove(mine[1], developer.developer_id)
        assert await members.of_app(mine[1]) == []
        await members.put(mine[1], developer.developer_id, "billing")
        assert [each.role for each in await members.of_app(mine[1])] == ["billing"]
        session, token = await sessions.begin(developer, HOUR, address="192.0.2.1", client="test")
        assert await sessions.find(token.encode()) == session
        wrong = token[:-1] + ("a" if token[-1] != "a" else "b")
        assert await sessions.find(wrong.encode()) is None
        assert await DeveloperSessions(store.redis, b"other").find(token.encode()) is None
        assert await sessions.list(developer) == [session]
        suspended = await developers.suspend(developer.developer_id)
        assert await sessions.list(suspended) == []
        assert await sessions.end(developer.developer_id, session.session_id)
        assert not await sessions.end(developer.developer_id, session.session_id)
        assert await sessions.find(token.encode()) is None
        invite, code = await invites.create(mine[0], "viewer", HOUR)
        assert await invites.find(code) == invite
        assert await invites.list() == [invite]
        assert sorted(await asyncio.gather(*(invites.take(invite.invite_id) for _ in range(10)))) == [False] * 9 + [
            True
        ]
        assert await invites.find(code) is None
        expected = {developer.ref, session.ref, invite.ref, RecordRef("member", f"{mine[0]}/{developer.developer_id}")}
        await eventually(lambda: expected <= set(changes))


async def nonces_count_once(store: Store) -> None:
    """Take a nonce many times at once."""
    nonces = Nonces(store.redis, seconds=60, most=10, most_per_client=3)
    nonce = await nonces.issue("192.0.2.1")
    assert nonce.expires_at - nonce.issued_at == timedelta(seconds=60)
    taken = await asyncio.gather(*(nonces.take(nonce.text) for _ in range(50)))
    [now] = [each for each in taken if each is not None]
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=30)


async def test_a_developer_lives_in_one_redis(store: Store) -> None:
    await a_life(store)
    await nonces_count_once(store)


async def test_a_developer_lives_in_a_cluster(cluster: RedisCluster, tmp_path: Path) -> None:
    async with await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30) as store:
        await a_life(store)
        await nonces_count_once(store)


async def test_nothing_is_made_for_those_who_do_not_exist(store: Store) -> None:
    app, _ = await Apps(store.redis, None).create("Acme", "free")
    developer, _ = await Developers(store.redis).create(WALLET)
    members = Memberships(store.redis)
    for attempt in (
        members.put("app_nobody", developer.developer_id, "owner"),
        members.put(app.client_id, "dev_nobody", "owner"),
        members.of_app("app_nobody"),
        Invites(store.redis, None).create("app_nobody", "owner", HOUR),
        Developers(store.redis).suspend("dev_nobody"),
    ):
        with pytest.raises(UnknownRecord):
            await attempt
    assert await store.redis.keys("tollgate:member:*") == []


async def test_nonces_have_bounds_that_their_use_and_their_end_free(store: Store) -> None:
    nonces = Nonces(store.redis, seconds=60, most=4, most_per_client=3)
    first = [await nonces.issue("2001:db8::1") for _ in range(3)]
    with pytest.raises(TooManyNonces) as many:
        await nonces.issue("2001:db8::2")  # the same network
    assert many.value.of_client
    await nonces.issue("192.0.2.1")
    with pytest.raises(TooManyNonces) as all_of_them:
        await nonces.issue("192.0.2.2")
    assert not all_of_them.value.of_client
    assert await nonces.take(first[0].text)
    assert await nonces.take(first[0].text) is None
    await nonces.issue("2001:db8::3")
    gone = first[1].text
    await store.redis.pexpire(f"tollgate:{{nonces}}:{gone}", 0)
    assert await nonces.take(gone) is None, "it is over"
    assert await nonces.take("x" * 32) is None
    assert await nonces.take("all") is None


async def test_sign_ups_of_a_day_have_a_bound(store: Store) -> None:
    developers = Developers(store.redis)
    assert sorted(await asyncio.gather(*(developers.count_sign_up(3) for _ in range(5)))) == [False] * 2 + [True] * 3
    [counter] = await store.redis.keys("tollgate:sign-ups:*")
    assert await store.redis.ttl(counter) > 0


async def test_sign_ups_count_by_the_day_of_redis_whatever_the_clock_of_a_machine_says(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a machine whose clock is ahead has a day, and so a bound, of its own."""

    async def now(client: object) -> int:
        return NEW_YEAR - 1

    monkeypatch.setattr("proxy.control.developers.developers.now_ms", now)
    developers = Developers(store.redis)
    assert [await developers.count_sign_up(1) for _ in range(2)] == [True, False]
    day = (EPOCH + timedelta(milliseconds=NEW_YEAR - 1)).date().isoformat()
    assert await store.redis.get(f"tollgate:sign-ups:{{{day}}}") == b"2"


ANN = ForeignIdentity("https://id.example", "ann")


async def test_a_subject_is_one_developer_of_its_issuer_for_ever(store: Store) -> None:
    developers = Developers(store.redis)
    made = await asyncio.gather(*(developers.create(ANN, email="ann@a.example") for _ in range(10)))
    assert len({each.developer_id for each, _ in made}) == 1
    assert [created for _, created in made].count(True) == 1
    found = await developers.find(ANN)
    assert found == made[0][0]
    assert (found.wallet, found.identity, found.email) == (None, ANN, "ann@a.example")
    for other in (
        ForeignIdentity("https://other.example", "ann"),
        ForeignIdentity("https://id.example", "Ann"),
        ForeignIdentity("https://id.exampleann", ""),
    ):
        assert await developers.find(other) is None


async def test_whoever_is_added_by_address_is_the_first_who_proves_it(store: Store) -> None:
    developers = Developers(store.redis)
    added, created = await developers.create_by_email("Ann@a.example")
    assert created
    assert (await developers.create_by_email("ann@A.example")) == (added, False)
    rivals = [ANN, ForeignIdentity(ANN.issuer, "mallory")]
    claimed = await asyncio.gather(*(developers.claim("ANN@a.example", each) for each in rivals * 5))
    winners = [each for each in claimed if each is not None]
    [identity] = {each.identity for each in winners}
    assert len(winners) == 5
    assert {each.developer_id for each in winners} == {added.developer_id}
    assert identity is not None
    found = await developers.find(identity)
    assert found is not None
    assert found.developer_id == added.developer_id
    assert await developers.claim("bob@a.example", ANN) is None


async def test_records_of_before_are_read(store: Store) -> None:
    """Hazard: developers who were stored when each of them had a wallet, and nothing else."""
    stored = (
        '{"developer_id":"dev_aaaaaaaaaaaaaaaa","wallet":"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",'
        '"created_at":"2026-01-02T03:04:05Z","status":"active","email":null,"generation":3}'
    )
    await store.redis.set("tollgate:developer:{dev_aaaaaaaaaaaaaaaa}", stored)
    await store.redis.set("tollgate:wallet:{0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed}", "dev_aaaaaaaaaaaaaaaa")
    found = await Developers(store.redis).find(WALLET)
    assert found is not None
    assert (found.wallet, found.identity, found.generation) == (WALLET.lower(), None, 3)
    assert (await Developers(store.redis).end_sessions(found.developer_id)).generation == 4
