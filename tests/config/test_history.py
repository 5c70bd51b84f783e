"""What Redis keeps for a failover is not trimmed before it."""

from __future__ import annotations

import pytest

from config.loader import load
from tests.config.conftest import Problems, Write


def test_events_that_a_failover_may_replay_are_not_trimmed(problems: Problems) -> None:
    for text, kept, window in (
        ("history: {keep_in_redis_seconds: 0}\n", 0, "5"),
        ("history: {keep_in_redis_seconds: 18}\nledger: {replay_window_seconds: 9.5}\n", 18, "9.5"),
    ):
        [(place, message)] = problems(text).items()
        assert place == "history.keep_in_redis_seconds"
        assert f"is {kept}, less than twice ledger.replay_window_seconds, {window}:" in message
        assert "raise history.keep_in_redis_seconds or lower ledger.replay_window_seconds" in message


def test_twice_the_window_is_enough(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("history: {keep_in_redis_seconds: 18}\nledger: {replay_window_seconds: 9}\n")
    assert load(path).history.keep_in_redis_seconds == 18
    monkeypatch.setenv("TOLLGATE_LEDGER__REPLAY_WINDOW_SECONDS", "3")
    monkeypatch.setenv("TOLLGATE_HISTORY__KEEP_IN_REDIS_SECONDS", "6")
    assert load(path).history.keep_in_redis_seconds == 6
