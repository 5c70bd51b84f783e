"""Workers that admit from shares and commit in groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_asyncio
from ulid import ULID

from config.plans import Plan
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Admitted, Denied
from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.conftest import redis_server
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import RedisServer
from tests.support.deployment import eventually

__all__ = ["redis_server"]


class GroupWorker(WorkerLedger):
    """A worker that admits from shares, with its upkeep."""

    def __init__(self, store: Store, folder: Path, **options: Any) -> None:
        super().__init__(store, RedisKeys(4, cluster=False), folder, deadline=30, commit="group", **options)
        self.store = store
        self.upkeep: asyncio.Task[None] | None = None

    async def stop_upkeep(self) -> None:
        """Renew no share any more, as a worker that is dead."""
        if self.upkeep is not None:
            self.upkeep.cancel()
            await asyncio.gather(self.upkeep, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self.upkeep = asyncio.create_task(self.ledger.run())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop_upkeep()
        await super().__aexit__(*error)


Open = Callable[..., AbstractAsyncContextManager[list[GroupWorker]]]


@pytest.fixture
def group_workers(redis_server: RedisServer, tmp_path: Path) -> Open:
    """Opens so many workers."""

    @asynccontextmanager
    async def opened(number: int = 1, **options: Any) -> AsyncIterator[list[GroupWorker]]:
        async with AsyncExitStack() as stack:
            found = []
            for _ in range(number):
                store = await stack.enter_async_context(
                    await Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30)
                )
                found.append(await stack.enter_async_context(GroupWorker(store, tmp_path, **options)))
            yield found

    return opened


@pytest_asyncio.fixture
async def redis(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """A connection of nobody's."""
    async with await Store.open(redis_server.url, tmp_path_factory.getbasetemp(), deadline=30) as store:
        yield store


def plan_of(**limits: Any) -> Plan:
    """Return a plan with these limits of an app, and a price."""
    return Plan.model_validate(
        {"billing": "usage", "limits": {"app": limits}, "prices": [{"unit": "requests", "amount": 3}]}
    )


def new_app() -> str:
    return f"app_{ULID()}"


async def make_busy(worker: GroupWorker, policy: Policy) -> list[Admitted]:
    """Send requests that are admitted until one is admitted from a share; return all of them, still open."""
    found: list[Admitted] = []

    async def shared() -> bool:
        decided = await worker.admit(policy)
        assert isinstance(decided, Admitted), decided
        found.append(decided)
        return decided.hold.shared

    await eventually(shared)
    return found


async def send(workers: Iterable[GroupWorker], app: str, plan: Plan) -> list[tuple[GroupWorker, Admitted]]:
    """Send a request to each of these workers at once; return which are admitted, and by whom."""

    async def ask(worker: GroupWorker) -> tuple[GroupWorker, Admitted | Denied]:
        return worker, await worker.admit(worker.policy(app, plan))

    decisions = await asyncio.gather(*map(ask, workers))
    return [(worker, decided) for worker, decided in decisions if isinstance(decided, Admitted)]
