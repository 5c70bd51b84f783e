"""Hazard: a failover. The new master lacks the last writes of the old one, and nobody may be served by the old one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from middlewares.ledger.credit.prepaid import grant
from proxy.store.configured import redis_keys
from tests.chaos.assertions import audit, quiet
from tests.chaos.steady import Figures, Steady
from tests.chaos.test_redis_trouble import CONFIG, DEADLINE, MARGIN, RECOVERY, WORKERS, state_lines
from tests.store.conftest import servers_in
from tests.store.servers import RedisServer, Sentinel, binaries
from tests.support.deployment import deployed, eventually

REPLICAS, SENTINELS = 2, 3
AT_ONCE = ("--repl-diskless-sync-delay", "0")


@dataclass
class Replicated:
    """A master, its replicas, and the sentinels that watch them."""

    master: RedisServer
    replicas: list[RedisServer]
    sentinels: list[Sentinel]

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(str(sentinel.endpoint) for sentinel in self.sentinels) + "/main"

    def ready(self) -> bool:
        """Whether a failover would succeed."""
        known = f"slaves={REPLICAS},sentinels={SENTINELS}"
        return f"connected_slaves:{REPLICAS}" in self.master.ask("INFO", "replication") and all(
            known in sentinel.ask("INFO", "sentinel") for sentinel in self.sentinels
        )

    def promoted(self) -> bool:
        return any("role:master" in replica.ask("INFO", "replication") for replica in self.replicas)


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Replicated]:
    with servers_in(tmp_path) as start:
        master = start(*AT_ONCE, tcp=True)
        of_master = ("--replicaof", master.endpoint.host, str(master.endpoint.port))
        replicas = [start(*AT_ONCE, *of_master, tcp=True) for _ in range(REPLICAS)]
        program = binaries(tmp_path)[0]
        sentinels = [Sentinel(program, tmp_path / f"sentinel{number}", master) for number in range(SENTINELS)]
        try:
            for sentinel in sentinels:
                sentinel.start()
            yield Replicated(master, replicas, sentinels)
        finally:
            for sentinel in sentinels:
                sentinel.kill()


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_its_master_is(replicated: Replicated, tmp_path: Path, how: str) -> None:
    """Answers in time meanwhile, served again soon after the promotion, one line for each change, and no usage lost."""
    await eventually(replicated.ready)
    async with deployed(tmp_path, {**CONFIG, "redis_url": replicated.url}) as gate:
        prepaid, guessed = await gate.customer("prepaid"), await gate.customer("guessed")
        async with gate.store() as store:
            await grant(store, redis_keys(gate.settings), prepaid.app, None, 10**26, reference="test")
        steady = Steady(gate, [prepaid, guessed])
        async with steady.running():
            await asyncio.to_thread(replicated.master.kill if how == "killed" else replicated.master.freeze)
            began = time.monotonic()
            await eventually(replicated.promoted)
            promoted = time.monotonic()
            recovery = await steady.all_served(promoted)
            if how == "frozen":
                replicated.master.thaw()
                await steady.all_served(time.monotonic())
            await eventually(lambda: len(set(state_lines(gate, 0))) == 1, RECOVERY)  # the other worker, too
        await quiet(gate)
        books, changes = await audit(gate), state_lines(gate, 0)
    answers = [sample for sample in steady.samples if began <= sample.began]
    figures = Figures(answers, steady.syncs)
    print(
        f"master {how}: {figures}, promoted after {promoted - began:.1f} s, served again {recovery:.1f} s later, "
        f"lines {changes}; {books}"
    )
    guesses = {sample.answer.status for sample in answers if sample.customer is guessed}
    assert guesses == {200} or (guesses == {200, 503} and figures.disk_is_slow)
    assert {sample.answer.status for sample in answers if sample.customer is prepaid} == {200, 503}
    assert figures.p99 <= DEADLINE + MARGIN + figures.slack
    assert recovery <= RECOVERY
    assert 1 <= changes[0] == changes[1] <= WORKERS
