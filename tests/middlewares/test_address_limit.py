"""A limit by client network: whom it refuses, for how long, and what a flood of addresses costs."""

import time

import pytest

from middlewares.address_limit import AddressLimit
from middlewares.exchange import Refusal


def limit_of(amount: int, max_addresses: int = 1_000) -> AddressLimit:
    return AddressLimit("door", amount, counted="knocks", unit="knocks", max_addresses=max_addresses)


def refused(limit: AddressLimit, address: str = "192.0.2.1") -> Refusal | None:
    try:
        limit.count(address)
    except Refusal as refusal:
        return refusal
    return None


def test_a_refusal_says_when_it_passes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.time()
    now = [start]
    monkeypatch.setattr("time.time", lambda: now[0])
    limit = limit_of(2)
    assert [refused(limit), refused(limit)] == [None, None]
    now[0] = start + 29.5
    refusal = refused(limit)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.headers) == (429, "rate_limited", [(b"retry-after", b"31")])
    assert refusal.members["reset"] == 31
    assert refusal.detail == "At most 2 knocks are allowed in 60 seconds (door). Try again in 31 seconds."
    now[0] = start + 60.5
    assert refused(limit) is None


def test_a_clock_that_is_set_back_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: a minute that began by a wrong clock lasts as long as the clock was wrong."""
    now = [time.time() + 3_600]
    monkeypatch.setattr("time.time", lambda: now[0])
    limit = limit_of(2)
    assert [refused(limit), refused(limit)] == [None, None]
    now[0] -= 3_600
    assert [refused(limit), refused(limit)] == [None, None]
    refusal = refused(limit)
    assert refusal is not None
    assert refusal.members["reset"] <= 60


def test_a_client_cannot_fill_the_memory_with_addresses() -> None:
    limit = limit_of(1, max_addresses=10)
    assert refused(limit) is None
    for number in range(9):
        assert refused(limit, f"198.51.100.{number}") is None
    assert refused(limit), "the one that has knocked again is not the one to forget"
    for number in range(1_000):
        assert refused(limit, f"2001:db8:{number:x}::1") is None
        assert len(limit._limiter.storage.storage) <= 10  # type: ignore[attr-defined]
