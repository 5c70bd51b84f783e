"""Fixtures of the webhooks' tests: an empty Redis, and what the ledger says."""

from tests.live.conftest import books, clocked, redis_server, store

__all__ = ["books", "clocked", "redis_server", "store"]
