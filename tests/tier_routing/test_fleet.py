"""Which gateway is chosen, and when one that fails is left alone: the fleet against a plain reading of its rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.routing import Gateway, Health, Pool
from middlewares.tier_routing.fleet import Fleet

A, B, C = (f"http://10.0.0.{number}:9935" for number in (1, 2, 3))
FAILURES = 3


def pool(*urls: str, **health: Any) -> Pool:
    """A pool of these gateways."""
    settings = {"failures": FAILURES} | health
    return Pool(gateways=tuple(Gateway(url=url) for url in urls), health=Health.model_validate(settings))


def eject(fleet: Fleet, url: str) -> None:
    """Let a gateway fail as often as it takes."""
    assert [fleet.record_failure(url) for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]


def test_failures_in_a_row_eject_a_gateway_and_a_response_between_them_does_not() -> None:
    fleet = Fleet({"pool": pool(A, B)})
    assert not fleet.record_failure(A)
    assert not fleet.record_failure(A)
    assert not fleet.record_response(A)
    assert not fleet.record_failure(A)
    assert fleet.is_healthy(A)
    assert not fleet.record_failure(A)
    assert fleet.record_failure(A)
    assert not fleet.is_healthy(A)
    assert fleet.candidates(["pool"]) == ("pool", (B,))


def test_an_ejected_gateway_is_back_with_its_first_response() -> None:
    fleet = Fleet({"pool": pool(A, B)})
    eject(fleet, A)
    assert not fleet.record_failure(A), "it is ejected already"
    assert not fleet.is_healthy(A)
    assert fleet.record_response(A)
    assert fleet.is_healthy(A)
    assert not fleet.record_response(A), "it was not away"
    assert set(fleet.candidates(["pool"])[1]) == {A, B}
    eject(fleet, A)


def test_the_least_busy_gateway_comes_first() -> None:
    fleet = Fleet({"pool": pool(A, B, C)})
    for url, in_flight in ((A, 2), (B, 0), (C, 1)):
        fleet.gateways[url].in_flight = in_flight
    assert fleet.candidates(["pool"]) == ("pool", (B, C, A))


def test_equally_busy_gateways_take_turns() -> None:
    fleet = Fleet({"pool": pool(A, B, C)})
    assert [fleet.candidates(["pool"])[1][0] for _ in range(6)] == [A, B, C, A, B, C]


def test_a_pool_without_a_healthy_gateway_gives_way_to_its_fallbacks_in_order() -> None:
    fleet = Fleet({"first": pool(A), "second": pool(B), "third": pool(C)})
    order = ["first", "second", "third"]
    assert fleet.candidates(order) == ("first", (A,))
    eject(fleet, A)
    assert fleet.candidates(order) == ("second", (B,))
    eject(fleet, B)
    assert fleet.candidates(order) == ("third", (C,))
    eject(fleet, C)
    assert fleet.candidates(order) == ("first", (A,)), "an ejection is a guess, a refusal is certain"
    fleet.record_response(B)
    assert fleet.candidates(order) == ("second", (B,))


def test_no_pool_has_no_gateway() -> None:
    assert Fleet({"pool": pool(A)}).candidates([]) == ("", ())


def test_a_gateway_of_two_pools_has_one_state() -> None:
    fleet = Fleet({"pictures": pool(A, B), "videos": pool(A, C)})
    fleet.gateways[A].in_flight = 1
    assert fleet.candidates(["pictures"])[1] == (B, A)
    assert fleet.candidates(["videos"])[1] == (C, A)
    eject(fleet, A)
    assert fleet.candidates(["videos"])[1] == (C,)
    assert (fleet.pool_of(A), fleet.pool_of(C)) == ("pictures", "videos")


def test_a_gateway_that_is_in_no_pool_is_not_healthy() -> None:
    assert not Fleet({"pool": pool(A)}).is_healthy(B)


@pytest.mark.parametrize(
    ("pools", "seconds"), [(["slow"], 60), (["slow", "quick"], 4), (["quick"], 4), (["hasty"], 1), ([], 10)]
)
def test_a_client_is_asked_to_come_back_when_the_first_ejection_may_be_over(pools: list[str], seconds: int) -> None:
    fleet = Fleet(
        {
            "slow": pool(A, ejection_seconds=60),
            "quick": pool(B, ejection_seconds=4.2),
            "hasty": pool(C, ejection_seconds=0.1),
        }
    )
    assert fleet.retry_after(pools) == seconds


EVENTS = st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans()), max_size=40)


@given(EVENTS, st.integers(1, 4))
def test_health_agrees_with_a_plain_reading(events: list[tuple[str, bool]], failures: int) -> None:
    """A gateway is left alone from the failure that completes a row of `failures` until it responds."""
    fleet = Fleet({"pool": pool(A, B, C, failures=failures)})
    in_a_row = dict.fromkeys((A, B, C), 0)
    for url, responds in events:
        before = in_a_row[url]
        if responds:
            in_a_row[url] = 0
            assert fleet.record_response(url) is (before >= failures)
        else:
            in_a_row[url] += 1
            assert fleet.record_failure(url) is (before + 1 == failures)
        healthy = {each for each, row in in_a_row.items() if row < failures}
        assert {each for each in (A, B, C) if fleet.is_healthy(each)} == healthy
        assert set(fleet.candidates(["pool"])[1]) == (healthy or {A, B, C})


def test_a_drained_gateway_gets_no_new_work_however_the_others_are() -> None:
    fleet = Fleet({"pool": pool(A, B), "rest": pool(C)})
    fleet.drain({A})
    assert not fleet.is_healthy(A)
    assert fleet.candidates(["pool", "rest"]) == ("pool", (B,))
    eject(fleet, B)
    assert fleet.candidates(["pool", "rest"]) == ("rest", (C,))
    eject(fleet, C)
    assert fleet.candidates(["pool", "rest"]) == ("pool", (B,)), "an ejection is a guess, a drain is not"
    fleet.drain({A, B})
    assert fleet.candidates(["pool", "rest"]) == ("rest", (C,))
    fleet.drain({A, B, C})
    assert fleet.candidates(["pool", "rest"]) == ("", ())
    fleet.drain(())
    assert fleet.candidates(["pool", "rest"]) == ("pool", (A,))
