"""A worker's idea of Redis time: never ahead of the best answer, and cured of a clock that was set back."""

import time

from middlewares.ledger.clock import STEP_MS, RedisClock

THEN = 1_700_000_000_000


def elapsed_ms(since: int) -> int:
    """Milliseconds, rounded up, since a reading of the monotonic clock in nanoseconds."""
    return -(-(time.monotonic_ns() - since) // 1_000_000) + 1


def test_it_is_the_machines_until_redis_has_answered() -> None:
    clock = RedisClock()
    before = time.time_ns() // 1_000_000
    assert not clock.known
    assert before <= clock.now_ms() <= time.time_ns() // 1_000_000


def test_it_goes_on_from_the_last_answer() -> None:
    clock, began = RedisClock(), time.monotonic_ns()
    clock.observe(THEN)
    assert clock.known
    assert THEN <= clock.now_ms() <= THEN + elapsed_ms(began)


def test_an_answer_that_was_long_on_its_way_does_not_set_it_back() -> None:
    clock, began = RedisClock(), time.monotonic_ns()
    clock.observe(THEN)
    clock.observe(THEN - STEP_MS // 2)
    assert THEN <= clock.now_ms() <= THEN + elapsed_ms(began)


def test_a_fresher_answer_sets_it_forward() -> None:
    clock, began = RedisClock(), time.monotonic_ns()
    clock.observe(THEN)
    clock.observe(THEN + 300)
    assert THEN + 300 <= clock.now_ms() <= THEN + 300 + elapsed_ms(began)


def test_a_clock_that_was_set_back_is_followed() -> None:
    clock, began = RedisClock(), time.monotonic_ns()
    clock.observe(THEN)
    clock.observe(THEN - 3_600_000)
    assert THEN - 3_600_000 <= clock.now_ms() <= THEN - 3_600_000 + elapsed_ms(began)


def test_another_server_is_believed_at_once() -> None:
    clock, began = RedisClock(), time.monotonic_ns()
    clock.observe(THEN)
    clock.reset_to(THEN - STEP_MS // 2)
    assert THEN - STEP_MS // 2 <= clock.now_ms() <= THEN - STEP_MS // 2 + elapsed_ms(began)
