"""Fixtures of the webhooks' tests: an empty Redis, and what the ledger says."""

from tests.live.conftest import clocked, ledger_view, redis_server, store

__all__ = ["clocked", "ledger_view", "redis_server", "store"]
