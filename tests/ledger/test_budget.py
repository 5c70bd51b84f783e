"""A wallet under parallel requests from several workers: never overspent, never left unspent, nothing stays held."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.credit.prepaid import balance, grant
from middlewares.ledger.model import Admitted, Denied
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger
from tests.ledger.workers import workers
from tests.store.servers import RedisServer

pytestmark = pytest.mark.ci


ROUNDS = 50
REQUESTS = 1_000
WEI = 10**18
PLAN = Plan.model_validate({"billing": "credits", "prices": [{"unit": "pixels", "amount": WEI}]})


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with a thousand requests at once is no lost Redis."""
    monkeypatch.setattr("middlewares.ledger.settlement.settler.SETTLE_SECONDS", 60.0)


async def ask(worker_ledger: WorkerLedger, app: str, user: str | None, reserved: int, used: int) -> bool:
    """One request that may cost `reserved` and does cost `used`; whether it was admitted."""
    policy = worker_ledger.policy(app, PLAN, user=user)
    decision = await worker_ledger.admit(policy, {Unit.PIXELS: reserved})
    if isinstance(decision, Denied):
        assert decision.code == "insufficient_balance"
        return False
    assert isinstance(decision, Admitted)
    worker_ledger.settle(decision.hold, policy, {Unit.PIXELS: used})
    return True


async def fire(ledgers: list[WorkerLedger], app: str, reserved: int, used: int) -> int:
    """All requests at once, half of them of users never seen before; how many were admitted."""
    admitted = await asyncio.gather(
        *(
            ask(ledgers[number % len(ledgers)], app, f"u{ULID()}" if number % 2 else f"u{number % 10}", reserved, used)
            for number in range(REQUESTS)
        )
    )
    for worker_ledger in ledgers:
        await worker_ledger.ledger.drain()
    return sum(admitted)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.soak)])
async def test_a_budget_is_spent_to_the_last_request_and_never_beyond(
    redis_server: RedisServer, store: Store, tmp_path: Path, step: int
) -> None:
    async with workers(redis_server, tmp_path) as ledgers:
        for turn in range(0, ROUNDS, step):
            app, cost = f"app_{ULID()}", 1 + turn
            budget = (1 + 17 * turn) * cost * WEI + turn  # what is left over buys nothing
            await grant(store, ledgers[0].keys, app, None, budget, reference="budget")
            admitted = await fire(ledgers, app, cost, cost)
            found = await balance(store, ledgers[0].keys, app, None)
            assert (admitted, found.held) == (1 + 17 * turn, 0)
            assert found.spent == admitted * cost * WEI <= budget


@pytest.mark.slow
async def test_estimates_too_high_hold_back_and_are_given_back(
    redis_server: RedisServer, store: Store, tmp_path: Path
) -> None:
    async with workers(redis_server, tmp_path) as ledgers:
        app = f"app_{ULID()}"
        await grant(store, ledgers[0].keys, app, None, 500 * WEI, reference="budget")
        spent = 0
        while admitted := await fire(ledgers, app, 3, 1):
            spent += admitted
            found = await balance(store, ledgers[0].keys, app, None)
            assert (found.spent, found.held) == (spent * WEI, 0)
        assert spent == 498  # two are too few for an estimate of three
