"""Another server takes over and lacks what the old one acknowledged last: nothing of it is lost, nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.credit.prepaid import Balance, balance, grant
from middlewares.ledger.model import Hold
from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.fakes import UnreliableStore
from tests.ledger.test_journal import outcomes
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import RedisServer, binaries, eventually

PREPAID = Plan.model_validate({"billing": "credits", "prices": [{"unit": "pixels", "amount": 1}]})
TEN = {Unit.PIXELS: 10}


@dataclass
class Pair:
    """A master and its replica, and a worker whose calls go to the master."""

    master: RedisServer
    replica: RedisServer
    promoted: Store
    worker_ledger: WorkerLedger
    unreliable: UnreliableStore
    policy: Policy

    async def cut_off(self) -> None:
        """From now on nothing reaches the replica; everything before has."""
        await eventually(lambda: offset(self.master, "master_repl_offset") == offset(self.replica, "slave_repl_offset"))
        assert self.replica.ask("REPLICAOF", "NO", "ONE") == "+OK\r\n"

    async def fail_over(self) -> None:
        self.master.kill()
        self.unreliable.store = self.promoted
        await self.worker_ledger.ledger.after_failover()

    async def end(self, hold: Hold) -> None:
        self.worker_ledger.settle(hold, self.policy, TEN)
        await self.worker_ledger.ledger.drain()

    async def ended(self) -> str:
        return await self.worker_ledger.request(self.policy, TEN, TEN)

    async def check(self, requests: list[str]) -> None:
        """These have one event each, paid for, at the server that took over."""
        found = await outcomes(self.promoted, self.worker_ledger.keys, self.policy.app)
        assert {request: outcome for request, outcome in found.items() if outcome != "granted"} == dict.fromkeys(
            requests, "complete"
        )
        wallet = await balance(self.promoted, self.worker_ledger.keys, self.policy.app, None)
        assert wallet == Balance(1_000, 10 * len(requests), 0)


def offset(server: RedisServer, kind: str) -> str:
    """How far replication has come."""
    lines = server.ask("INFO", "replication").splitlines()
    return next(value for name, _, value in (line.partition(":") for line in lines) if name == kind)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    binary = binaries(tmp_path)[0]
    master = RedisServer(binary, tmp_path / "a", "--repl-diskless-sync-delay", "0", tcp=True).start()
    replica = RedisServer(binary, tmp_path / "b", tcp=True).start()
    yield master, replica
    master.kill()
    replica.kill()


@pytest.fixture
async def pair(servers: tuple[RedisServer, RedisServer], keys: RedisKeys, tmp_path: Path) -> AsyncIterator[Pair]:
    master, replica = servers
    replica.ask("REPLICAOF", master.endpoint.host, str(master.endpoint.port))
    await eventually(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
    app = f"app_{ULID()}"
    async with (
        await Store.open(master.url, tmp_path, deadline=30, control_timeout=30) as store,
        await Store.open(replica.url, tmp_path, deadline=30, control_timeout=30) as promoted,
    ):
        await grant(store, keys, app, None, 1_000, reference="in")
        unreliable = UnreliableStore(store)
        async with WorkerLedger(unreliable, keys, tmp_path) as worker_ledger:
            yield Pair(master, replica, promoted, worker_ledger, unreliable, worker_ledger.policy(app, PREPAID))


async def test_what_was_acknowledged_last_is_written_again(pair: Pair) -> None:
    """What the replica has is left alone; of what it lacks, it may have the hold, or nothing at all."""
    arrived = [await pair.ended() for _ in range(3)]
    held = [await pair.worker_ledger.hold(pair.policy, TEN) for _ in range(3)]
    await pair.cut_off()
    for hold in held:
        await pair.end(hold)
    lost = [await pair.ended() for _ in range(3)]
    await pair.fail_over()
    requests = arrived + [hold.request_id for hold in held] + lost
    await pair.check(requests)
    await pair.worker_ledger.ledger.after_failover()
    await pair.check(requests)


@pytest.mark.ci
async def test_a_running_request_whose_hold_was_lost_is_recorded(pair: Pair) -> None:
    await pair.cut_off()
    hold = await pair.worker_ledger.hold(pair.policy, TEN)
    await pair.fail_over()
    await pair.end(hold)
    await pair.check([hold.request_id])


@pytest.mark.ci
async def test_a_server_that_fails_again_at_once_loses_nothing(pair: Pair) -> None:
    """What could not be written again waits in the journal."""
    await pair.cut_off()
    lost = [await pair.ended() for _ in range(3)]
    pair.unreliable.away = True
    await pair.fail_over()
    pair.unreliable.away = False
    await pair.worker_ledger.replay()
    await pair.check(lost)


async def test_what_came_out_of_the_journal_last_is_written_again(pair: Pair) -> None:
    """A demoted master may take it, just before its data is replaced by the new master's."""
    pair.unreliable.away = True
    policy = pair.worker_ledger.policy(pair.policy.app, Plan())
    waiting = {await pair.worker_ledger.request(policy, TEN) for _ in range(3)}
    pair.unreliable.away = False
    await pair.cut_off()
    await pair.worker_ledger.replay()
    assert pair.worker_ledger.reports.replays == 3
    await pair.fail_over()
    assert waiting <= (await outcomes(pair.promoted, pair.worker_ledger.keys, pair.policy.app)).keys()
