"""A slot of a real cluster moves under load: each request has one event, and nobody is refused what limits allow."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from redis.crc import key_slot

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.model import Admitted
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.group.conftest import new_app
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.clusters import RedisCluster
from tests.store.conftest import servers_in
from tests.support.deployment import eventually

PLAN = Plan.model_validate(
    {
        "billing": "usage",
        "limits": {"app": {"requests_per_minute": 1_000_000, "concurrent": 1_000}},
        "prices": [{"unit": "output_tokens", "amount": 3, "per": 7}],
        "allowances": [{"unit": "output_tokens", "per": "day", "included": 1_000}],
    }
)
CLIENTS = 8
KEYS_AT_A_TIME = 10


@pytest.mark.soak
@pytest.mark.parametrize("commit", ["group", "each"])
async def test_each_request_has_one_event_though_its_slot_moves(
    commit: Literal["group", "each"], tmp_path: Path
) -> None:
    keys, app, used = RedisKeys(1, cluster=True), new_app(), dict[str, int]()
    refusals: list[object] = []
    failures: list[str] = []
    going = True
    with servers_in(tmp_path / "servers") as start:
        cluster = RedisCluster(start)
        target = cluster.add()
        tag = keys.tag(app)
        slot, source = key_slot(keys.shared(tag).events.encode()), cluster.master_of(tag)
        async with contextlib.AsyncExitStack() as stack:
            workers = []
            for _ in range(2):
                store = await stack.enter_async_context(
                    await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30)
                )
                worker = await stack.enter_async_context(
                    WorkerLedger(store, keys, tmp_path, deadline=5, workers=2, commit=commit)
                )
                upkeep = asyncio.create_task(worker.ledger.run())
                stack.callback(upkeep.cancel)
                workers.append(worker)

            async def client(worker: WorkerLedger, tokens: int) -> None:
                policy = worker.policy(app, PLAN)
                while going:
                    try:
                        decided = await worker.admit(policy, {Unit.OUTPUT_TOKENS: 20})
                    except Exception as error:
                        failures.append(repr(error))
                        continue
                    if not isinstance(decided, Admitted):
                        refusals.append(decided)
                        continue
                    used[decided.hold.request_id] = tokens
                    await asyncio.sleep(0.001)
                    worker.settle(decided.hold, policy, {Unit.OUTPUT_TOKENS: tokens})

            async def more(number: int) -> None:
                goal = len(used) + number
                await eventually(lambda: len(used) >= goal or bool(failures or refusals))

            clients = [asyncio.create_task(client(workers[n % 2], n + 1)) for n in range(CLIENTS)]
            await more(500)
            assert target.ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", cluster.id_of(source)).startswith("+OK")
            assert source.ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", cluster.id_of(target)).startswith("+OK")
            while names := _names(source.ask("CLUSTER", "GETKEYSINSLOT", str(slot), str(KEYS_AT_A_TIME))):
                for name in names:
                    await asyncio.to_thread(
                        source.ask, "MIGRATE", target.endpoint.host, str(target.endpoint.port), name, "0", "5000"
                    )
                await asyncio.sleep(0.02)
            cluster.assign(slot, target)
            await more(500)
            going = False
            await asyncio.gather(*clients)
            for worker in workers:
                await worker.ledger.drain()
            assert (failures, refusals) == ([], [])
        async with await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30) as store:
            redis: Any = store.redis
            entries = await redis.xrange(keys.shared(tag).events)
            events = [DECODER.decode(fields[b"event"]) for _, fields in entries]
            assert Counter(event.id for event in events) == Counter(used.keys())
            assert {event.id: event.units[Unit.OUTPUT_TOKENS] for event in events} == used
            for worker in workers:
                assert worker.reports.losses == []
            differences, _ = await verify_in(tmp_path, store.redis, keys, {"plan": PLAN})
            assert differences == []


def _names(reply: str) -> list[str]:
    """Return the strings of an array in a reply, none of which has a line end."""
    return reply.split("\r\n")[2::2]
