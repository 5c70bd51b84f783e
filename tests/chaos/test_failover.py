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
from tests.chaos.assertions import audit, wait_until_settled
from tests.chaos.steady_load import Latencies, SteadyLoad
from tests.chaos.test_redis_trouble import (
    DEADLINE,
    MARGIN,
    RECOVERY,
    WAYS,
    WORKERS,
    config_of,
    period_of,
    state_lines,
)
from tests.store.conftest import servers_in
from tests.store.servers import RedisServer, Sentinel, binaries
from tests.support.deployment import Deployment, deployed, eventually

pytestmark = pytest.mark.slow

REPLICAS, SENTINELS = 2, 3
AT_ONCE = ("--repl-diskless-sync-delay", "0")


@dataclass
class Replicated:
    """Master, its replicas, and the sentinels that watch them."""

    master: RedisServer
    replicas: list[RedisServer]
    sentinels: list[Sentinel]

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(str(sentinel.endpoint) for sentinel in self.sentinels) + "/main"

    def ready(self) -> bool:
        """True if a failover would succeed."""
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


async def all_have_events(deployment: Deployment) -> bool:
    """Return True once each request that the gateway saw has an event."""
    seen = {record.request_id for record in deployment.gateway.requests}
    return seen <= {event["id"] for event in await deployment.events()}


@pytest.mark.parametrize("commit", WAYS)
@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_its_master_is(replicated: Replicated, tmp_path: Path, how: str, commit: str) -> None:
    """Responses stay in time, the promotion ends the refusals, each change is one log line, and no usage is lost."""
    await eventually(replicated.ready)
    async with deployed(tmp_path, config_of(commit, replicated.url)) as deployment:
        prepaid, guessed = await deployment.customer("prepaid"), await deployment.customer("guessed")
        async with deployment.store() as store:
            await grant(store, redis_keys(deployment.settings), prepaid.app, None, 10**26, reference="test")
        steady_load = SteadyLoad(deployment, [prepaid, guessed], period=period_of(commit))
        async with steady_load.running():
            await asyncio.to_thread(replicated.master.kill if how == "killed" else replicated.master.freeze)
            began = time.monotonic()
            await eventually(replicated.promoted)
            promoted = time.monotonic()
            recovery = await steady_load.all_served(promoted)
            if how == "frozen":
                replicated.master.thaw()
                await steady_load.all_served(time.monotonic())
            await eventually(lambda: len(set(state_lines(deployment, 0))) == 1, RECOVERY)  # the other worker, too
        await wait_until_settled(deployment)
        await eventually(lambda: all_have_events(deployment), RECOVERY)  # what the old master had is written again
        result, changes = await audit(deployment), state_lines(deployment, 0)
    responses = [sample for sample in steady_load.samples if began <= sample.began]
    figures = Latencies(responses, steady_load.syncs)
    print(
        f"master {how}: {figures}, promoted after {promoted - began:.1f} s, served again {recovery:.1f} s later, "
        f"lines {changes}; {result}"
    )
    guesses = {sample.response.status for sample in responses if sample.customer is guessed}
    assert guesses == {200} or (guesses == {200, 503} and figures.disk_is_slow)
    assert {sample.response.status for sample in responses if sample.customer is prepaid} == {200, 503}
    assert figures.p99 <= DEADLINE + MARGIN + figures.slack
    assert recovery <= RECOVERY
    # A frozen master is a trouble that begins twice: it takes commands again when it is thawed, until it is demoted.
    assert 1 <= changes[0] == changes[1] <= (WORKERS if how == "killed" else 2 * WORKERS)
