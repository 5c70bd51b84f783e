"""ByocStreams that begin, are reported, fall silent, come back and end at random, against a model of a few lines."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from config.plans import Plan
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Denied
from middlewares.ledger.sessions.sessions import HOLD_SLACK_MS, Sessions
from tests.live.assertions import GAP, TICK, LedgerView

SLOTS = 2
PRICE = 7
"""Of a second: a tick costs 35, and parts of a second are rounded up once per session."""
PLAN = Plan.model_validate(
    {
        "billing": "credits",
        "limits": {"app": {"concurrent": SLOTS}},
        "prices": [{"unit": "seconds", "amount": PRICE}, {"unit": "requests", "amount": 1}],
    }
)
STREAMS = ("app_a", "app_b", "app_c")
PAUSES = (1, 700, 2_499, 2_500, TICK, TICK, TICK, 2 * TICK, GAP, GAP + 1, 3 * GAP)


def price(milliseconds: int) -> int:
    """Of a session that has lived for so long."""
    return 1 - (-milliseconds * PRICE // 1_000)


@dataclass
class Life:
    """One session of the model."""

    seen: int
    expires: int
    held: int
    ticked: bool = False
    lived: int = 0
    reaped: bool = False


@dataclass
class Model:
    """What the ledger must say."""

    now: int
    granted: int = 0
    spent: int = 0
    milliseconds: int = 0
    lives: dict[str, Life] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return sum(life.held for life in self.lives.values() if not life.reaped)

    def begin(self, stream: str) -> bool:
        old = self.lives.get(stream)
        if old and self.now - old.seen <= GAP:
            return True
        self.lives.pop(stream, None)
        return self._admit(stream, Life(self.now, 0, price(TICK)))

    def tick(self, stream: str) -> bool:
        life = self.lives.get(stream)
        if life is None:
            return False
        elapsed = self.now - life.seen
        if 2 * elapsed < TICK:
            return True
        del self.lives[stream]
        if elapsed <= GAP:
            self._charge(life, elapsed if life.ticked else min(elapsed, TICK))
        rest = price(life.lived + TICK) - (price(life.lived) if life.ticked else 0)
        return self._admit(stream, Life(self.now, 0, rest, life.ticked, life.lived))

    def end(self, stream: str) -> None:
        life = self.lives.pop(stream, None)
        if life and life.ticked and self.now - life.seen <= GAP:
            self._charge(life, self.now - life.seen)

    def reap(self) -> None:
        for life in self.lives.values():
            life.reaped |= life.expires <= self.now

    def _charge(self, life: Life, elapsed: int) -> None:
        self.spent += price(life.lived + elapsed) - (price(life.lived) if life.ticked else 0) if elapsed else 0
        self.milliseconds += elapsed
        life.lived += elapsed
        life.ticked |= elapsed > 0

    def _admit(self, stream: str, life: Life) -> bool:
        running = sum(other.expires > self.now for other in self.lives.values())
        free = self.granted - self.spent - self.held
        if running >= SLOTS or free <= 0 or free < life.held:
            return False
        life.expires = self.now + GAP + HOLD_SLACK_MS
        self.lives[stream] = life
        return True


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(6))
async def test_the_ledger_agrees_with_the_model(ledger_view: LedgerView, seed: int) -> None:
    chance = random.Random(seed)
    policy = Policy(ledger_view.keys, app="app", user=None, key="key", name="random", plan=PLAN)
    sessions = Sessions(ledger_view.clocked, ledger_view.keys, tick=TICK, gap=GAP)
    model = Model(ledger_view.clocked.now_ms)
    for step in range(150):
        stream = chance.choice(STREAMS)
        match chance.choices(("grant", "begin", "tick", "end", "reap"), (1, 4, 12, 1, 1))[0]:
            case "grant":
                model.granted += 200 + step
                await ledger_view.grant(200 + step)
            case "begin":
                denied = await sessions.begin(stream, policy, "noop")
                assert isinstance(denied, Denied) is not model.begin(stream), step
            case "tick":
                ledger_view.clocked.now_ms += chance.choice(PAUSES)
                model.now = ledger_view.clocked.now_ms
                found = await sessions.find("app", stream)
                charge_until_now = found is not None and await sessions.tick(found, policy)
                assert charge_until_now is model.tick(stream), step
            case "end":
                model.end(stream)
                await sessions.end("app", stream)
            case "reap":
                model.reap()
                assert await ledger_view.reap() == []
        wallet = await ledger_view.balance()
        assert (wallet.granted, wallet.spent, wallet.held) == (model.granted, model.spent, model.held), step
    assert await ledger_view.lived() == model.milliseconds > 0
    assert model.spent > 0
    await ledger_view.check({"random": PLAN})
