"""CPU of the checks of a key that a worker knows, beside that of an admission of the same key, in one process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis
from starlette.types import Message, Receive, Scope, Send
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.auth.cache import CachedCredentials
from middlewares.auth.jwks import KeySets
from middlewares.auth.jwt import TokenVerifier
from middlewares.auth.keys import hash_secret, mint_key
from middlewares.auth.middleware import AuthMiddleware, failure_limit
from middlewares.auth.records import AppRecord, KeyRecord, UserRecord
from middlewares.auth.resolver import CredentialResolver
from middlewares.exchange import Exchange
from middlewares.ledger.admission.key_limits import KeyLimits
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.routes import BY_NAME
from proxy.server.ledger_metrics import LedgerObserver
from proxy.store.embedded.redis_process import EmbeddedRedis
from proxy.store.store import Store
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale

TITLE = "CPU of a cached key's checks and of its admission"
METRIC = "CPU µs"
REQUESTS = 500
"""Requests of one measurement."""
ROUNDS = 7
APP = "app_aaaaaaaaaaaaaaaa"
PAGE = "https://app.example"
PLAN = Plan.model_validate({"limits": {"app": {"requests_per_minute": 10**9, "concurrent": 10**6}}})
LIMITS = KeyLimits(
    requests_per_minute=10**9, concurrent=10**6, spend_per_day="1" + "0" * 20, spend_total="1" + "0" * 21
)


@dataclass
class OneKey:
    """A directory with one key, of one app."""

    record: KeyRecord

    async def key(self, key_id: str) -> KeyRecord | None:
        """Return the key."""
        return self.record

    async def app(self, client_id: str) -> AppRecord | None:
        """Return the app."""
        return AppRecord(APP, "bench", "plan", datetime.now(UTC), "")

    async def user(self, app: str, user_id: str) -> UserRecord | None:
        """Return no user."""
        return None

    async def token_revoked(self, token_id: str) -> bool:
        """Return False."""
        return False


class Checks:
    """The auth stage with one key, which its worker knows; what is behind it does nothing."""

    def __init__(self, *, limited: bool) -> None:
        text, key = mint_key()
        record = KeyRecord(key.key_id, APP, hash_secret(key.secret, None), text[-4:], datetime.now(UTC))
        headers = [(b"host", b"tollgate"), (b"content-type", b"application/json"), (b"x-api-key", text.encode())]
        if limited:
            narrowed: dict[str, Any] = {"limits": LIMITS, "origins": (PAGE,), "cidrs": ("127.0.0.0/8",)}
            narrowed |= {"workloads": frozenset({Workload.LLM}), "streams": frozenset({"cam"})}
            record = KeyRecord(key.key_id, APP, record.hash, record.last4, record.created_at, **narrowed)
            headers.append((b"origin", PAGE.encode()))
        directory: Any = OneKey(record)
        keys: Any = KeySets((), None)  # type: ignore[arg-type]
        resolver = CredentialResolver(directory, {"plan": PLAN}, TokenVerifier((), keys))
        self.credentials = CachedCredentials(resolver, seconds=3_600, entries=100, grace=0)
        self.stage = AuthMiddleware(_nothing, credentials=self.credentials, failure_limit=failure_limit(30), used={})
        self.headers = headers

    async def once(self) -> Exchange:
        """Let one request pass, and return its exchange."""
        exchange = Exchange("id", 0.0, "POST", "/llm", route=BY_NAME["llm"], client_address="127.0.0.1")
        await self.stage({"type": "http", "headers": self.headers, "tollgate.exchange": exchange}, _receive, _send)
        return exchange


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Do nothing."""


async def _receive() -> Message:
    return {"type": "http.request"}


async def _send(message: Message) -> None:
    """Send nothing."""


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure keys with and without limits of their own, each beside its admission, whose Redis counts, too."""
    with EmbeddedRedis.acquire(folder) as embedded, Redis.from_url(embedded.url) as redis:
        async with await Store.open(embedded.url, folder, deadline=10) as store:
            ledger = Ledger(
                store,
                RedisKeys(4, cluster=False),
                data_dir=folder,
                hold_ttl=60,
                deadline=10,
                workers=1,
                journal_bytes=1 << 24,
                replay_window=30,
                observer=LedgerObserver(),
            )
            for name, limited in (("a key without limits", False), ("a key with every limit", True)):
                checks = Checks(limited=limited)
                for number in range(-1, ROUNDS if scale.rounds > 1 else 3):  # round -1 warms up
                    checked = await _checks(checks)
                    admitted = await _admissions(checks, ledger, redis)
                    if number >= 0:
                        section.add(f"{name}: checks", {METRIC: checked})
                        section.add(f"{name}: admission", {METRIC: admitted})
                share = section.ratio(METRIC, f"{name}: checks", f"{name}: admission")
                section.figure(f"{name}: checks / admission", share * 100, "%", Target(5, at_most=True))
            await ledger.drain()
            ledger.close()


async def _checks(checks: Checks) -> float:
    """Return the CPU time of the checks of one request, in microseconds, less that of a stage that checks nothing."""
    began = time.process_time()
    for _ in range(REQUESTS):
        await checks.once()
    took = time.process_time() - began
    began = time.process_time()
    for _ in range(REQUESTS):
        exchange = Exchange("id", 0.0, "POST", "/llm", route=BY_NAME["llm"], client_address="127.0.0.1")
        await _nothing({"type": "http", "headers": checks.headers, "tollgate.exchange": exchange}, _receive, _send)
    return (took - (time.process_time() - began)) / REQUESTS * 1e6


async def _admissions(checks: Checks, ledger: Ledger, redis: Redis) -> float:
    """Return the CPU time of one admission, here and in Redis, in microseconds."""
    principal = (await checks.once()).principal
    assert principal is not None
    holds = []
    before, began = _cpu(redis), time.process_time()
    for _ in range(REQUESTS):
        policy = ledger.policy(
            principal.app, principal.user, principal.key, "plan", principal.plan, terms=principal.key_terms
        )
        decided: Any = await ledger.admit(
            str(ULID()), policy, workload=Workload.LLM, model="m", units={Unit.OUTPUT_TOKENS: 10}
        )
        holds.append(decided.hold)
    took = time.process_time() - began + _cpu(redis) - before
    for hold in holds:
        ledger.release(hold)
    await ledger.drain()
    return took / REQUESTS * 1e6


def _cpu(redis: Redis) -> float:
    """Return the seconds of CPU that Redis has used."""
    found: Any = redis.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])
