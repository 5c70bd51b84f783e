"""Credits: put in and taken out once per reference, never below zero unless asked for, exact at any size."""

import asyncio
from typing import Any

import pytest
from ulid import ULID

from middlewares.ledger.credit.prepaid import Balance, InsufficientBalance, ReferenceTaken, balance, debit, grant
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER, Event
from proxy.store.store import Store

HUGE = 10**27


@pytest.fixture
def app() -> str:
    return f"app_{ULID()}"


async def recorded(store: Store, keys: RedisKeys, app: str) -> list[tuple[Event, int, str]]:
    """The events of an app, with amount and wallet."""
    entries: Any = await store.redis.xrange(keys.shared(keys.tag(app)).events)
    found = [(DECODER.decode(fields[b"event"]), fields) for _, fields in entries]
    return [(event, int(fields[b"amount"]), fields[b"wallet"].decode()) for event, fields in found if event.app == app]


async def test_a_grant_and_its_correction_stand_in_wallet_and_stream(store: Store, keys: RedisKeys, app: str) -> None:
    assert await balance(store, keys, app, None) == Balance(0, 0, 0)
    assert await grant(store, keys, app, None, HUGE, reference="invoice-1", note="paid") == Balance(HUGE, 0, 0)
    assert await debit(store, keys, app, None, 1, reference="correction-1") == Balance(HUGE - 1, 0, 0)
    assert (await balance(store, keys, app, None)).available == HUGE - 1
    (granted, amount, wallet), (debited, taken, _) = await recorded(store, keys, app)
    assert (granted.type, granted.outcome, granted.note, amount, wallet) == ("credit", "granted", "paid", HUGE, "app")
    assert (debited.type, debited.outcome, debited.reference, taken) == ("credit", "debited", "correction-1", -1)
    assert granted.id != debited.id
    now = int((await store.redis.time())[0])
    assert now - 60 <= granted.time // 1000 <= now


async def test_credits_are_no_usage(store: Store, keys: RedisKeys, app: str) -> None:
    await grant(store, keys, app, None, 5, reference="r")
    assert not [name async for name in store.redis.scan_iter(match=keys.usage(app, "*").replace("{", "[{]"))]


async def test_a_user_with_a_wallet_of_its_own(store: Store, keys: RedisKeys, app: str) -> None:
    await grant(store, keys, app, None, 100, reference="a")
    assert await grant(store, keys, app, "ann", 7, reference="b") == Balance(7, 0, 0)
    assert await balance(store, keys, app, None) == Balance(100, 0, 0)
    assert await balance(store, keys, app, "bob") == Balance(0, 0, 0)
    assert [wallet for _, _, wallet in await recorded(store, keys, app)] == ["app", "user"]


async def test_a_repeated_reference_changes_nothing_and_says_so(store: Store, keys: RedisKeys, app: str) -> None:
    calls = (grant(store, keys, app, None, 100, reference="once") for _ in range(50))
    answers = await asyncio.gather(*calls)
    assert {(each.granted, each.spent, each.held) for each in answers} == {(100, 0, 0)}
    assert sum(not each.repeated for each in answers) == 1
    assert len(await recorded(store, keys, app)) == 1


async def test_a_reference_used_for_something_else_is_refused(store: Store, keys: RedisKeys, app: str) -> None:
    await grant(store, keys, app, None, 100, reference="once")
    with pytest.raises(ReferenceTaken, match="once"):
        await grant(store, keys, app, None, 101, reference="once")
    with pytest.raises(ReferenceTaken):
        await grant(store, keys, app, "ann", 100, reference="once")
    with pytest.raises(ReferenceTaken):
        await debit(store, keys, app, None, 100, reference="once")
    assert await balance(store, keys, app, None) == Balance(100, 0, 0)
    await grant(store, keys, f"{app}2", None, 1, reference="once")  # references are each app's own


async def test_a_debit_leaves_what_running_requests_have_reserved(store: Store, keys: RedisKeys, app: str) -> None:
    await grant(store, keys, app, None, HUGE, reference="in")
    await store.redis.hset(keys.wallet(app), mapping={"spent": str(HUGE - 30), "held": "20"})
    with pytest.raises(InsufficientBalance, match="11 cannot be taken out: 10 of"):
        await debit(store, keys, app, None, 11, reference="out")
    assert (await debit(store, keys, app, None, 10, reference="out")).available == 0
    with pytest.raises(InsufficientBalance):
        await debit(store, keys, app, None, 1, reference="out-again")
    assert (await debit(store, keys, app, None, 1, reference="out-again", force=True)).available == -1
    assert (await grant(store, keys, app, None, 1, reference="in-again")).available == 0


async def test_parallel_debits_never_overdraw(store: Store, keys: RedisKeys, app: str) -> None:
    await grant(store, keys, app, None, 100, reference="in")

    async def take(number: int) -> int:
        try:
            await debit(store, keys, app, None, 7, reference=f"out-{number}")
        except InsufficientBalance:
            return 0
        return 7

    assert sum(await asyncio.gather(*(take(number) for number in range(50)))) == 98
    assert (await balance(store, keys, app, None)).available == 2


@pytest.mark.parametrize(
    ("amount", "reference", "note"), [(0, "r", ""), (-1, "r", ""), (1, "", ""), (1, "r" * 501, ""), (1, "r", "n" * 501)]
)
async def test_bad_input_changes_nothing(
    store: Store, keys: RedisKeys, app: str, amount: int, reference: str, note: str
) -> None:
    for change in (grant, debit):
        with pytest.raises(ValueError, match="must"):
            await change(store, keys, app, None, amount, reference=reference, note=note)
    assert await recorded(store, keys, app) == []
