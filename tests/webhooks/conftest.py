"""Fixtures of the webhooks' tests: an empty Redis, and what the ledger says."""

from tests.live.conftest import ledger_view
from tests.support.redis_fixtures import clocked, redis_server, store

__all__ = ["clocked", "ledger_view", "redis_server", "store"]
