"""Refusals on their way from Redis to the history, and the versions of plans, on both kinds of database."""

from __future__ import annotations

from typing import Any

from ulid import ULID

from config.explain import Explain
from config.plans import BUILT_IN_PLANS, Plan
from middlewares.json_codec import to_json
from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.archiver import ExplainArchiver
from proxy.history.explain.rows import erase_refusals, find_refusal, plan_text, refusals_of
from proxy.store.clients import now_ms
from tests.history.fakes import Archive


def refusal(app: str = "app_one", *, time: int, user: str | None = None) -> RefusalRecord:
    return RefusalRecord(
        id=str(ULID()),
        time=time,
        app=app,
        user=user,
        key="key",
        plan="free@1",
        stage="rate_limit",
        code="rate_limited",
        status=429,
        detail="\x00 and \U0001f512",
    )


async def put(archive: Archive, *records: RefusalRecord) -> None:
    """Write records as workers do."""
    for each in records:
        await archive.client.xadd(archive.keys.refusals(each.app), {"refusal": to_json(each)})
        await archive.client.sadd(archive.keys.shared(archive.keys.tag(each.app)).refused, each.app)


def archiver(archive: Archive, **settings: Any) -> ExplainArchiver:
    return ExplainArchiver(archive.client, archive.keys, archive.history, Explain(**settings), BUILT_IN_PLANS)


async def archived(archive: Archive, app: str = "app_one") -> list[RefusalRecord]:
    return sorted(await archive.history.read(refusals_of, app), key=lambda each: each.time)


async def test_refusals_leave_redis_for_the_history(archive: Archive) -> None:
    now = await now_ms(archive.client)
    first, second = refusal(time=now), refusal("app_two", time=now)
    await put(archive, first, second)
    await archiver(archive).advance()
    assert (await archived(archive), await archived(archive, "app_two")) == ([first], [second])
    assert await archive.client.xlen(archive.keys.refusals("app_one")) == 0
    assert [await archive.client.smembers(archive.keys.shared(tag).refused) for tag in archive.keys.tags] == [set()] * 4
    assert await archive.history.read(find_refusal, second.id) == second


async def test_a_refusal_that_is_archived_again_is_there_once(archive: Archive) -> None:
    record = refusal(time=await now_ms(archive.client))
    for _ in range(2):
        await put(archive, record)
        await archiver(archive).advance()
    assert await archived(archive) == [record]


async def test_what_is_no_refusal_is_left_out(archive: Archive) -> None:
    record = refusal(time=await now_ms(archive.client))
    await archive.client.xadd(archive.keys.refusals("app_one"), {"refusal": b"\xff"})
    await archive.client.xadd(archive.keys.refusals("app_one"), {"other": b"{}"})
    await put(archive, record)
    await archiver(archive).advance()
    assert await archived(archive) == [record]


async def test_only_the_newest_of_an_app_are_kept(archive: Archive) -> None:
    now = await now_ms(archive.client)
    records = [refusal(time=now - 100 + number) for number in range(9)]
    other = refusal("app_two", time=now - 1_000)
    await put(archive, other, *records)
    await archiver(archive, kept=4).advance()
    assert await archived(archive) == records[-4:]
    assert await archived(archive, "app_two") == [other]


async def test_old_ones_are_deleted(archive: Archive) -> None:
    now = await now_ms(archive.client)
    old, young = refusal(time=now - 8 * 86_400_000), refusal(time=now - 6 * 86_400_000)
    await put(archive, old, young)
    await archiver(archive, kept_days=7).advance()
    assert await archived(archive) == [young]


async def test_refusals_of_a_user_are_erased(archive: Archive) -> None:
    now = await now_ms(archive.client)
    records = [refusal(time=now, user=user) for user in ("ann", "bob", None)]
    await put(archive, *records)
    await archiver(archive).advance()
    assert await archive.history.write(erase_refusals, "app_one", "ann") == 1
    assert {each.user for each in await archived(archive)} == {"bob", None}
    assert await archive.history.write(erase_refusals, "app_one", None) == 2


async def test_every_version_of_a_plan_is_kept(archive: Archive) -> None:
    changed = Plan(tier="premium", max_tokens={"default": 7})
    await archiver(archive).advance()
    await ExplainArchiver(archive.client, archive.keys, archive.history, Explain(), {"free": changed}).advance()
    for plan in (BUILT_IN_PLANS["free"], changed):
        assert await archive.history.read(plan_text, f"free@{plan.version}") == plan.text
    assert await archive.history.read(plan_text, "free@00000000") is None
