"""The circuit breaker against a clock that only moves when told."""

import pytest

from proxy.store.breaker import Breaker, BreakerState


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard() -> list[tuple[BreakerState, str]]:
    return []


@pytest.fixture
def breaker(clock: Clock, heard: list[tuple[BreakerState, str]]) -> Breaker:
    return Breaker(lambda state, cause: heard.append((state, cause)), threshold=3, retry_after=0.5, clock=clock)


def open_it(breaker: Breaker) -> None:
    for number in range(3):
        breaker.failed(f"cause {number}")


def test_opens_at_the_third_failure_in_a_row(breaker: Breaker, heard: list[tuple[BreakerState, str]]) -> None:
    breaker.failed("a")
    breaker.failed("b")
    breaker.succeeded()
    breaker.failed("c")
    breaker.failed("d")
    assert breaker.allows()
    breaker.failed("e")
    assert not breaker.allows()
    assert heard == [(BreakerState.OPEN, "e")]


def test_lets_one_call_try_after_half_a_second(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += 0.49
    assert not breaker.allows()
    clock.now += 0.01
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_probe_that_succeeds_closes(breaker: Breaker, clock: Clock, heard: list[tuple[BreakerState, str]]) -> None:
    open_it(breaker)
    clock.now += 0.5
    breaker.allows()
    breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]
    assert heard == [(BreakerState.OPEN, "cause 2"), (BreakerState.CLOSED, "cause 2")]


def test_a_probe_that_fails_keeps_it_open_and_says_nothing(
    breaker: Breaker, clock: Clock, heard: list[tuple[BreakerState, str]]
) -> None:
    open_it(breaker)
    for _ in range(10):
        clock.now += 0.5
        assert breaker.allows()
        breaker.failed("still")
        assert breaker.state is BreakerState.OPEN
    assert len(heard) == 1


def test_a_probe_that_never_reports_is_replaced(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += 0.5
    assert breaker.allows()
    clock.now += 0.5
    assert breaker.allows()


def test_late_answers_of_calls_from_before_do_not_close(breaker: Breaker) -> None:
    open_it(breaker)
    breaker.succeeded()
    assert not breaker.allows()


def test_three_new_failures_are_needed_after_closing(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += 0.5
    breaker.allows()
    breaker.succeeded()
    breaker.failed("a")
    breaker.failed("b")
    assert breaker.state is BreakerState.CLOSED


def test_a_node_that_only_answers_reads_is_not_lost_and_found_with_each_of_them(
    breaker: Breaker, clock: Clock, heard: list[tuple[BreakerState, str]]
) -> None:
    for _ in range(3):
        breaker.succeeded()
        breaker.failed("full", "admit")
    assert heard == [(BreakerState.OPEN, "full")]
    for _ in range(10):
        clock.now += 0.5
        assert breaker.allows()
        breaker.succeeded()
        assert breaker.allows(), "whatever the node can still do is not held back"
        breaker.failed("full", "admit")
        assert not breaker.allows()
    assert len(heard) == 1
    clock.now += 0.5
    assert breaker.allows()
    breaker.succeeded("admit")
    assert heard[1:] == [(BreakerState.CLOSED, "full")]


def test_writes_that_take_their_time_do_not_hide_that_others_come_too_late(
    breaker: Breaker, clock: Clock, heard: list[tuple[BreakerState, str]]
) -> None:
    for _ in range(3):
        breaker.failed("did not answer in time", "admit")
        breaker.succeeded("settle")
    clock.now += 0.5
    assert breaker.allows()
    breaker.succeeded("settle")
    assert heard == [(BreakerState.OPEN, "did not answer in time")]


def test_any_answer_brings_a_node_back_on_which_no_write_has_failed(
    breaker: Breaker, clock: Clock, heard: list[tuple[BreakerState, str]]
) -> None:
    open_it(breaker)
    clock.now += 0.5
    assert breaker.allows()
    breaker.succeeded("admit")
    assert [state for state, _ in heard] == [BreakerState.OPEN, BreakerState.CLOSED]


def test_a_rare_write_that_failed_does_not_keep_a_node_lost_until_its_next_time(
    breaker: Breaker, clock: Clock, heard: list[tuple[BreakerState, str]]
) -> None:
    breaker.failed("restarting", "renew")
    for _ in range(2):
        breaker.failed("restarting", "admit")
    clock.now += 0.5
    assert breaker.allows()
    breaker.succeeded("settle")
    assert len(heard) == 1
    clock.now += Breaker.LATELY
    breaker.succeeded("settle")
    assert heard[1:] == [(BreakerState.CLOSED, "restarting")]
