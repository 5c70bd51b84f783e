"""What identifies an app or a user goes, wherever it is; amounts and totals stay, and verification stays clean."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from config.workloads import Unit
from middlewares.auth.records import AppRecord, UserRecord
from middlewares.ledger.credit import prepaid
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.control.erasure import SubjectRecords
from proxy.control.users import Users
from proxy.history.audit.verify import verify as verify_chain
from proxy.history.retention.erasure import Erased, ErasureIncomplete, erase
from proxy.history.store import History
from proxy.history.tables import METADATA
from proxy.reporting.dates import EVER, Days
from proxy.reporting.statements.account import read_tally
from proxy.reporting.stream import AppEvents
from proxy.reporting.subject import subject_lines
from proxy.reporting.totals import Dimension, read_usage
from proxy.reporting.verify.verification import verify
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive, event
from tests.history.postgres import Postgres
from tests.history.test_any_split import opened
from tests.reporting.ledger_fixture import milliseconds, utc

pytestmark = pytest.mark.ci


OPERATOR = Actor(ActorKind.OPERATOR, "root", address="192.0.2.77")
AT = milliseconds(utc("2020-11-03T12:00"))
DAYS = Days(date(2020, 11, 1), date(2020, 11, 30))
PEOPLE = ("ann", "bob")


class Town:
    """One app with two users, each of whom has canaries in every free text."""

    def __init__(self, archive: Archive, store: Store) -> None:
        self.archive, self.store = archive, store
        self.users, self.keys = Users(store.redis), ApiKeys(store.redis, None)
        self.audit = AuditLog(store.redis)
        self.app: AppRecord
        self.people: dict[str, UserRecord] = {}

    async def build(self) -> None:
        self.app, _ = await Apps(self.store.redis, None).create("canary-acme", "free")
        app = self.app.client_id
        for name in PEOPLE:
            user, _ = await self.users.create(app, f"canary-{name}", email=f"canary-{name}@a.example")
            self.people[name] = user
            key, _ = await self.keys.create(
                app, user=user.user_id, name=f"canary-{name} laptop", cidrs=["192.0.2.0/24"]
            )
            detail = {"name": f"canary-{name} laptop"}
            await self.audit.record(OPERATOR, "key.create", AuditTarget("key", key.key_id, app), detail=detail)
            await self.audit.record(
                *(OPERATOR, "user.change", AuditTarget("user", "", app)), detail={"requested": user.external_id}
            )
        await self.audit.record(OPERATOR, "app.create", AuditTarget("app", app, app), detail={"name": "canary-acme"})

    async def act(self, kind: str, name: str, amount: int) -> None:
        app = self.app.client_id
        user = self.people[name].user_id
        if kind == "use":
            await self.archive.add(event(app, user=user, time=AT, units={Unit.REQUESTS: 1}), amount, wallet="user")
            return
        owner, whose = (user, name) if kind == "grant" else (None, "acme")
        reference = f"canary-{whose}-{amount}-{await self.store.redis.incr('test:count')}"
        await prepaid.grant(
            *(self.store, self.archive.keys, app, owner, amount), reference=reference, note=f"paid by canary-{whose}"
        )

    async def subject(self, name: str | None) -> SubjectRecords:
        app, keys = self.app, await self.keys.list(self.app.client_id)
        if name is None:
            return SubjectRecords(app, None, await self.users.list(app.client_id), keys)
        user = await self.users.get(app.client_id, self.people[name].user_id)
        assert user is not None
        return SubjectRecords(app, user.user_id, [user], [key for key in keys if key.user == user.user_id])

    async def erase(self, name: str | None) -> Erased:
        return await erase(self.archive.sources, self.archive.archiver(), await self.subject(name))

    async def numbers(self) -> Any:
        """Return everything that has to stay."""
        sources, app = self.archive.sources, self.app.client_id
        usage = (await read_usage(sources, app, DAYS, (Dimension.USER, Dimension.DAY, Dimension.KEY))).rows()
        statement = (await read_tally(sources, app, DAYS)).statement({})
        events = sorted(
            [(each.event.time, each.event.user or "", each.amount) async for each in AppEvents(sources, app).read(EVER)]
        )
        wallets = [await prepaid.balance(self.store, sources.keys, app, owner) for owner in (None, *self.ids)]
        differences, _ = await verify(sources, {})
        assert differences == []
        assert (await self.archive.history.read(verify_chain)).findings == ()
        return usage, statement.lines, statement.wallets, events, wallets

    @property
    def ids(self) -> list[str]:
        return [each.user_id for each in self.people.values()]

    async def everything(self) -> str:
        """Return all text that Redis and the history hold."""
        found = [await self.archive.history.read(_rows)]
        redis: Any = self.store.redis
        async for name in redis.scan_iter():
            kind = (await redis.type(name)).decode()
            reads = {"string": redis.get, "hash": redis.hgetall, "set": redis.smembers, "stream": redis.xrange}
            found.append(f"{name} {await reads[kind](name) if kind in reads else await redis.zrange(name, 0, -1)}")
        return "\n".join(found)


def _rows(connection: Connection) -> str:
    return "\n".join(str(row) for table in METADATA.sorted_tables for row in connection.execute(select(table)))


ACTS = st.tuples(
    st.sampled_from(["use", "grant", "grant app"]), st.sampled_from(PEOPLE), st.sampled_from([1, 7, 10**27])
)
CAMPAIGN = settings(
    max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


async def play(store: Store, history: History, before: list[Any], after: list[Any], whom: str | None) -> None:
    """Erase with any part of everything archived; what stays is the same, and nobody else loses anything."""
    await store.redis.flushall()
    town = Town(Archive(store.redis, RedisKeys(TAGS, cluster=False), history), store)
    await town.build()
    for act in before:
        await town.act(*act)
    assert await town.archive.advance()
    for act in after:
        await town.act(*act)
    numbers = await town.numbers()
    others = [each for each in PEOPLE if each != whom] if whom else []
    assert f"canary-{whom or 'acme'}" in await town.everything()

    await town.erase(whom)

    assert await town.numbers() == numbers
    text = await town.everything()
    for name in PEOPLE if whom is None else (whom,):
        assert f"canary-{name}" not in text
    assert ("canary-acme" in text) == (whom is not None)
    assert ("192.0.2.77" in text) == (whom is not None)
    for name in others:
        assert text.count(f"canary-{name}") >= 6
    again = await town.erase(whom)
    assert (again.events, again.audit_lines, again.references, again.entries) == (0, 0, 0, 0)
    assert await town.numbers() == numbers


LISTS = st.lists(ACTS, max_size=4)


@given(before=LISTS, after=LISTS, whom=st.sampled_from([*PEOPLE, None]))
@CAMPAIGN
async def test_on_sqlite(store: Store, before: list[Any], after: list[Any], whom: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(f"sqlite:///{Path(folder)}/history.sqlite") as history:
            await play(store, history, before, after, whom)


@pytest.mark.slow
@given(before=LISTS, after=LISTS, whom=st.sampled_from([*PEOPLE, None]))
@settings(CAMPAIGN, max_examples=3)
async def test_on_postgresql(
    store: Store, postgres: Postgres, before: list[Any], after: list[Any], whom: str | None
) -> None:
    async with opened(postgres.database()) as history:
        await play(store, history, before, after, whom)


@pytest.fixture
async def town(archive: Archive, store: Store) -> Town:
    built = Town(archive, store)
    await built.build()
    for kind in ("use", "grant", "grant app"):
        for name in PEOPLE:
            await built.act(kind, name, 5)
    return built


async def test_what_comes_back_after_an_erasure_is_known(town: Town) -> None:
    """Hazard: a backup of Redis has the event under its old id, and the wallet would be paid in twice."""
    stream = town.archive.stream(town.app.client_id)
    redis: Any = town.store.redis
    entries = await redis.xrange(stream)
    await town.erase("ann")
    numbers = await town.numbers()
    assert await redis.xlen(stream) < len(entries)
    await redis.delete(stream)
    for _, fields in entries:
        await redis.xadd(stream, fields)
    assert await town.numbers() == numbers
    assert await town.archive.advance()
    assert town.archive.reports.counts["repeated"] == len(entries)
    assert await town.numbers() == numbers


async def test_an_erased_reference_stays_taken(town: Town) -> None:
    """Hazard: the same grant sent once more counts again, as its reference is gone."""
    app, ann = town.app.client_id, town.people["ann"].user_id
    keys = town.archive.keys
    first = await prepaid.grant(town.store, keys, app, ann, 9, reference="canary-ann-invoice")
    await town.erase("ann")
    again = await prepaid.grant(town.store, keys, app, ann, 9, reference="canary-ann-invoice")
    assert (again.repeated, again.granted) == (True, first.granted)
    with pytest.raises(prepaid.ReferenceTaken):
        await prepaid.grant(town.store, keys, app, None, 9, reference="canary-ann-invoice")


async def test_records_are_ended_and_the_external_id_may_be_used_anew(town: Town) -> None:
    await town.erase("ann")
    app = town.app.client_id
    erased = await town.users.get(app, town.people["ann"].user_id)
    assert erased is not None
    assert (erased.email, erased.status) == (None, "suspended")
    assert [key.status for key in await town.keys.list(app) if key.user == erased.user_id] == ["revoked"]
    new, created = await town.users.create(app, "canary-ann")
    assert (created, new.user_id != erased.user_id) == (True, True)
    assert {each.user_id for each in await town.users.list(app)} == {*town.ids, new.user_id}


async def test_an_export_group_gets_its_events_first(town: Town) -> None:
    """Hazard: an erasure takes events out of the stream that a receiver was never told of."""
    stream = town.archive.stream(town.app.client_id)
    await town.store.redis.xgroup_create(stream, "billing", "0")
    with pytest.raises(ErasureIncomplete, match="1 change of credits waits in Redis"):
        await town.erase("ann")
    await town.store.redis.xgroup_setid(stream, "billing", "$")
    await town.erase("ann")
    assert "canary-ann" not in await town.everything()


async def test_a_subject_gets_everything_about_it_and_nothing_else(town: Town) -> None:
    sources, store = town.archive.sources, town.store
    assert await town.archive.advance()
    await town.act("use", "ann", 3)
    found = [each async for each in subject_lines(sources, store, await town.subject("ann"), EVER, _no)]
    kinds = [each["kind"] for each in found]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "app": 1,
        "user": 1,
        "key": 1,
        "credits": 1,
        "event": 3,
        "audit": 2,
    }
    assert "canary-bob" not in str(found)
    assert str(found).count("canary-ann") >= 5
    for word in ("sha256", "secret_hash", "'hash'"):
        assert word not in str(found)
    everything = [each async for each in subject_lines(sources, store, await town.subject(None), EVER, _no)]
    assert sum(each["kind"] == "event" for each in everything) == 7
    assert sum(each["kind"] == "audit" for each in everything) == 5
    assert "canary-bob" in str(everything)


def _no(error: Exception) -> None:
    raise error
