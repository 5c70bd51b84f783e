"""The cache of verdicts on credentials: what it keeps, and for how long."""

import asyncio
import pickle
from collections.abc import Callable

import pytest

from config.plans import BUILT_IN_PLANS
from middlewares.auth import cache as cache_module
from middlewares.auth.cache import NEGATIVE_ENTRIES, NEGATIVE_SECONDS, RETRY_SECONDS, CachedCredentials
from middlewares.auth.records import RecordRef
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.exchange import Principal
from middlewares.store import StoreError, StoreUnavailable

SECONDS, GRACE = 30.0, 300.0
APP, KEY, USER = RecordRef("app", "app_1"), RecordRef("key", "key1"), RecordRef("user", "app_1/ann")
DENIED = Denial(401, "invalid_credentials", "no", (RecordRef("key", "nobody"),))


def grant(expires_at: float | None = None) -> Grant:
    principal = Principal("app_1", "ann", "key1", "free", BUILT_IN_PLANS["free"])
    return Grant(principal, (KEY, APP, USER), expires_at=expires_at)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A judge that returns what the test sets, counts its calls, and waits while `released` is not set."""

    def __init__(self) -> None:
        self.verdict: Callable[[bytes], Verdict] = lambda _: grant()
        self.calls = 0
        self.away = False
        self.released = asyncio.Event()
        self.released.set()

    async def judge(self, credential: bytes) -> Verdict:
        self.calls += 1
        verdict = self.verdict(credential)
        await self.released.wait()
        if self.away:
            raise StoreUnavailable("Redis is away")
        return verdict


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cache(source: Source, clock: Clock) -> CachedCredentials:
    return CachedCredentials(source, seconds=SECONDS, entries=100, grace=GRACE, clock=clock, wall=clock)


async def test_a_known_credential_is_not_looked_up_again(cache: CachedCredentials, source: Source) -> None:
    first = await cache.judge(b"key")
    assert first == grant()
    assert await cache.judge(b"key") is first
    assert source.calls == 1


async def test_what_is_cached_needs_no_lookup(cache: CachedCredentials, clock: Clock) -> None:
    assert cache.cached(b"key") is None
    first = await cache.judge(b"key")
    assert cache.cached(b"key") is first
    clock.now += SECONDS
    assert cache.cached(b"key") is None, "fresh no longer, though it would hold its grace"


async def test_its_time_ends_no_later_than_configured(cache: CachedCredentials, source: Source, clock: Clock) -> None:
    for number in range(100):
        await cache.judge(b"%d" % number)
    clock.now += SECONDS * 0.7
    for number in range(100):
        await cache.judge(b"%d" % number)
    assert source.calls == 100
    clock.now += SECONDS * 0.3
    for number in range(100):
        await cache.judge(b"%d" % number)
    assert source.calls == 200


async def test_credentials_seen_together_are_not_asked_for_together(
    cache: CachedCredentials, source: Source, clock: Clock
) -> None:
    for number in range(100):
        await cache.judge(b"%d" % number)
    clock.now += SECONDS * 0.875
    for number in range(100):
        await cache.judge(b"%d" % number)
    assert 120 < source.calls < 180


async def test_denials_are_remembered_shortly(cache: CachedCredentials, source: Source, clock: Clock) -> None:
    source.verdict = lambda _: DENIED
    for _ in range(5):
        assert await cache.judge(b"bad") == DENIED
    assert source.calls == 1
    clock.now += NEGATIVE_SECONDS
    assert await cache.judge(b"bad") == DENIED
    assert source.calls == 2


async def test_a_denial_that_may_pass_is_not_remembered(cache: CachedCredentials, source: Source) -> None:
    source.verdict = lambda _: Denial(401, "invalid_token", "not yet", memorable=False)
    await cache.judge(b"early")
    source.verdict = lambda _: grant()
    assert await cache.judge(b"early") == grant()


async def test_a_flood_of_bad_keys_evicts_no_good_one(cache: CachedCredentials, source: Source) -> None:
    await cache.judge(b"good")
    source.verdict = lambda _: DENIED
    for number in range(NEGATIVE_ENTRIES + 10):
        await cache.judge(b"bad%d" % number)
    calls = source.calls
    await cache.judge(b"good")
    assert source.calls == calls


async def test_the_least_recently_used_credential_makes_room(cache: CachedCredentials, source: Source) -> None:
    for number in range(100):
        await cache.judge(b"%d" % number)
    await cache.judge(b"0")
    await cache.judge(b"one more")
    calls = source.calls
    await cache.judge(b"0")
    assert source.calls == calls
    await cache.judge(b"1")
    assert source.calls == calls + 1


async def test_simultaneous_requests_cause_one_lookup(cache: CachedCredentials, source: Source) -> None:
    source.released.clear()
    waiting = [asyncio.create_task(cache.judge(b"key")) for _ in range(1_000)]
    await asyncio.sleep(0)
    source.released.set()
    assert await asyncio.gather(*waiting) == [grant()] * 1_000
    assert source.calls == 1


async def test_a_first_request_that_is_cancelled_takes_nothing_from_the_others(
    cache: CachedCredentials, source: Source
) -> None:
    source.released.clear()
    first, second = asyncio.create_task(cache.judge(b"key")), asyncio.create_task(cache.judge(b"key"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.released.set()
    assert await second == grant()
    assert source.calls == 1


@pytest.mark.parametrize("ref", [KEY, APP, USER])
async def test_a_changed_record_ends_what_rests_on_it_at_once(
    cache: CachedCredentials, source: Source, ref: RecordRef
) -> None:
    await cache.judge(b"key")
    cache.invalidate(RecordRef(ref.kind, "another"))
    await cache.judge(b"key")
    assert source.calls == 1
    source.verdict = lambda _: DENIED
    cache.invalidate(ref)
    assert await cache.judge(b"key") == DENIED


async def test_a_changed_record_ends_denials_too(cache: CachedCredentials, source: Source) -> None:
    source.verdict = lambda _: Denial(401, "app_suspended", "no", (KEY, APP))
    await cache.judge(b"key")
    source.verdict = lambda _: grant()
    cache.invalidate(APP)
    assert await cache.judge(b"key") == grant()


async def test_a_verdict_from_before_a_revocation_is_not_cached(cache: CachedCredentials, source: Source) -> None:
    source.released.clear()
    before = asyncio.create_task(cache.judge(b"key"))
    await asyncio.sleep(0)
    cache.invalidate(KEY)
    source.verdict = lambda _: DENIED
    after = asyncio.create_task(cache.judge(b"key"))  # must not join the lookup from before
    await asyncio.sleep(0)
    source.released.set()
    await before
    assert await after == DENIED
    assert await cache.judge(b"key") == DENIED


async def test_more_changes_than_are_kept_end_everything(
    cache: CachedCredentials, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_MAX_CHANGES", 3)
    await cache.judge(b"key")
    source.verdict = lambda _: DENIED
    cache.invalidate(KEY)
    for number in range(3):
        cache.invalidate(RecordRef("key", str(number)))
    assert await cache.judge(b"key") == DENIED


async def test_in_doubt_everything_is_looked_up_again(cache: CachedCredentials, source: Source) -> None:
    await cache.judge(b"key")
    cache.invalidate_all()
    await cache.judge(b"key")
    await cache.judge(b"key")
    assert source.calls == 2


async def test_in_doubt_denials_are_looked_up_again(cache: CachedCredentials, source: Source) -> None:
    source.verdict = lambda _: DENIED
    await cache.judge(b"key")
    cache.invalidate_all()
    source.verdict = lambda _: grant()
    assert await cache.judge(b"key") == grant()


async def test_known_keys_work_through_the_grace_and_no_longer(
    cache: CachedCredentials, source: Source, clock: Clock
) -> None:
    await cache.judge(b"key")
    source.away = True
    cache.invalidate_all()
    assert await cache.judge(b"key") == grant()
    clock.now += SECONDS * 0.75 + GRACE - 1
    assert await cache.judge(b"key") == grant()
    clock.now += SECONDS * 0.25 + 1
    with pytest.raises(StoreError):
        await cache.judge(b"key")


async def test_unknown_keys_have_no_grace(cache: CachedCredentials, source: Source) -> None:
    source.away = True
    with pytest.raises(StoreError):
        await cache.judge(b"never seen")


async def test_a_revoked_key_has_no_grace(cache: CachedCredentials, source: Source) -> None:
    await cache.judge(b"key")
    cache.invalidate(KEY)
    source.away = True
    with pytest.raises(StoreError):
        await cache.judge(b"key")


async def test_during_the_grace_a_lost_store_is_not_asked_by_every_request(
    cache: CachedCredentials, source: Source, clock: Clock
) -> None:
    await cache.judge(b"key")
    source.away = True
    clock.now += SECONDS
    for _ in range(100):
        assert await cache.judge(b"key") == grant()
    assert source.calls == 2
    clock.now += RETRY_SECONDS
    source.away = False
    await cache.judge(b"key")
    assert source.calls == 3


@pytest.mark.parametrize("away", [False, True])
async def test_a_remembered_credential_ends_when_it_expires(
    cache: CachedCredentials, source: Source, clock: Clock, away: bool
) -> None:
    source.verdict = lambda _: grant(expires_at=clock.now + 10)
    await cache.judge(b"key")
    clock.now += 9.9
    await cache.judge(b"key")
    assert source.calls == 1
    clock.now += 0.1
    source.verdict, source.away = lambda _: DENIED, away
    if away:
        with pytest.raises(StoreError):
            await cache.judge(b"key")
    else:
        assert await cache.judge(b"key") == DENIED


async def test_errors_of_the_source_are_not_remembered(cache: CachedCredentials, source: Source) -> None:
    source.away = True
    with pytest.raises(StoreError):
        await cache.judge(b"key")
    source.away = False
    assert await cache.judge(b"key") == grant()


async def test_the_credential_itself_is_not_kept(cache: CachedCredentials) -> None:
    secret = b"tgk_canary_0123456789"
    await cache.judge(secret)
    kept = {name: value for name, value in vars(cache).items() if name in ("_grants", "_denials", "_flights")}
    assert secret not in pickle.dumps(kept)


async def test_who_waited_for_the_store_in_vain_is_told_apart(
    cache: CachedCredentials, source: Source, clock: Clock
) -> None:
    """Otherwise the same request would wait for the store once more at its admission."""

    async def unconfirmed() -> bool:
        verdict = await cache.judge(b"key")
        assert isinstance(verdict, Grant)
        return verdict.unconfirmed

    assert not await unconfirmed()
    clock.now += SECONDS
    source.away = True
    assert await unconfirmed()
    assert not await unconfirmed(), "it was not looked up again so soon"
    source.away = False
    clock.now += RETRY_SECONDS
    assert not await unconfirmed()
