"""Hazard: a session of a signer that takes two places, or none, or one for ever; held to a model over random lives."""

from __future__ import annotations

import random

import pytest

from config.plans import Plan
from config.workloads import Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.sessions.signer_sessions import SLACK_MS, SignerSessions
from proxy.store.store import Store
from tests.ledger.redis_time import Clocked

WINDOW_MS = 60_000
PLAN = Plan.model_validate(
    {"limits": {"key": {"concurrent": 2, "requests_per_minute": 3}, "app": {"concurrent": 3}}},
)


class Model:
    """Sessions by key, each until when it has its place, and when each began."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str], int] = {}
        self.begun: dict[str, list[int]] = {}

    def admit(self, session: str, key: str, now: int, milliseconds: int) -> str:
        """Return the code of the refusal, empty if the session may pay."""
        known = self.places.get((key, session), 0) > now
        others = [place for place, end in self.places.items() if end > now and place != (key, session)]
        begun = self.begun.setdefault(key, [])
        slot = WINDOW_MS // 60
        recent = [at for at in begun if at // slot >= now // slot - 60]
        if not known and len(recent) >= 3:
            return "rate_limited"
        if sum(place[0] == key for place in others) >= 2 or len(others) >= 3:
            return "concurrency_limited"
        if not known:
            begun.append(now)
        self.places[key, session] = now + milliseconds + SLACK_MS
        return ""


@pytest.mark.parametrize("seed", range(6))
async def test_random_sessions_are_admitted_as_the_model_says(
    store: Store, clocked: Clocked, keys: RedisKeys, seed: int
) -> None:
    chance = random.Random(seed)
    app = f"app_signers_{seed}"
    policies = {
        key: Policy(keys, app=app, user=None, key=f"{app}-{key}", name="plan", plan=PLAN) for key in ("one", "two")
    }
    sessions, model = SignerSessions(clocked, keys), Model()
    seen: set[str] = set()
    for _ in range(150):
        key = chance.choice(list(policies))
        session = f"{key}-{chance.randrange(4)}"
        milliseconds = chance.choice((1_000, 20_000))
        denied = await sessions.admit(
            session, policies[key], Workload.LIVE_VIDEO_TO_VIDEO, "", milliseconds=milliseconds
        )
        code = denied.code if denied else ""
        assert code == model.admit(session, key, clocked.now_ms, milliseconds), (seed, key, session)
        seen.add(code)
        clocked.now_ms += chance.choice((1, 500, 5_000, 15_000))
    assert seen == {"", "rate_limited", "concurrency_limited"}
