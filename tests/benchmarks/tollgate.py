"""Whole product under test: `tollgate serve` with its embedded Redis, every stage on, its log in a file."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from proxy.mock_gateway import MockGateway
from proxy.store.configured import redis_keys
from tests.benchmarks.programs import LOOPBACK, Candidate, make
from tests.support.deployment import START_SECONDS, TOLLGATE, WORKER, Deployment

PLAN = "benchmark"
_HUGE = 10**9

_CONFIG: dict[str, Any] = {
    "plans": {
        PLAN: {
            "billing": "usage",
            "limits": {"app": {"requests_per_minute": _HUGE, "requests_per_day": _HUGE, "concurrent": _HUGE}},
            "prices": [
                {"unit": "requests", "amount": 1_000},
                {"workload": "text-to-image", "unit": "pixels", "amount": 3},
                {"workload": "llm", "unit": "output_tokens", "amount": 5},
            ],
        }
    }
}
"""Settings with limits and prices of every kind that the built-in plans have, too large to refuse anything."""


@dataclass(frozen=True, slots=True)
class RunningTollgate:
    """Running deployment with one customer."""

    deployment: Deployment
    candidate: Candidate

    @property
    def workers(self) -> tuple[psutil.Process, ...]:
        return self.candidate.processes["worker"]

    async def events(self) -> int:
        """Return the number of usage events in the ledger."""
        keys = redis_keys(self.deployment.settings)
        async with self.deployment.store() as store:
            lengths: list[int] = [await store.redis.xlen(keys.shared(tag).events) for tag in keys.tags]
        return sum(lengths)


@contextlib.asynccontextmanager
async def running_tollgate(
    folder: Path,
    upstream: Candidate,
    *,
    name: str = "tollgate",
    llm: Candidate | None = None,
    command: Sequence[str] = (*TOLLGATE, "serve"),
    seconds: float = START_SECONDS,
    **settings: Any,
) -> AsyncIterator[RunningTollgate]:
    """Run Tollgate in front of `upstream`; chats go to `llm` if given. `settings` go into the configuration.

    `command` starts it, within that many seconds.
    """
    make(folder)
    config = {**_CONFIG, "routing": _routing(upstream, llm or upstream), **settings}
    deployment = Deployment(folder, MockGateway(), config, {}, command=command)
    try:
        await deployment.start(seconds)
        customer = await deployment.customer(PLAN)
        port = deployment.address[1]
        yield RunningTollgate(deployment, Candidate(name, port, (customer.key,), _roles(deployment)))
    finally:
        await deployment.stop()


def _routing(upstream: Candidate, llm: Candidate) -> dict[str, Any]:
    """Return the routing, with more connections than any part opens, so that none waits for another."""

    def pool(candidate: Candidate) -> dict[str, Any]:
        return {"gateways": [{"url": f"http://{LOOPBACK}:{candidate.port}", "max_connections": 8_192}]}

    rules = [{"workload": "llm", "pool": "llm"}, {"pool": "default"}]
    return {"pools": {"default": pool(upstream), "llm": pool(llm)}, "rules": rules}


def _roles(deployment: Deployment) -> dict[str, tuple[psutil.Process, ...]]:
    """Return the worker processes and the embedded Redis, by role."""
    processes = deployment.processes()
    return {
        "worker": tuple(each for each in processes if WORKER in " ".join(each.cmdline())),
        "redis": tuple(each for each in processes if each.name().startswith(("redis-server", "valkey-server"))),
    }
