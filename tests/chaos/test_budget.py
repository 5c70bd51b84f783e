"""Hazard: requests that all read the same balance, and users seen for the first time, spend more than there is."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from middlewares.ledger.credit.prepaid import grant
from proxy.control.api_keys import ApiKeys
from proxy.control.users import Users
from proxy.store.configured import redis_keys
from tests.chaos.assertions import TIMEOUT_SECONDS, audit, wait_until_settled
from tests.chaos.load import IMAGE
from tests.support.deployment import Deployment, deployed

pytestmark = pytest.mark.slow

REQUESTS = 1_000
PRICE = 3 * 10**18 + 1
ISSUER, AUDIENCE = "https://issuer.test", "tollgate"
SIGNING_KEY = generate_private_key(SECP256R1())


def config(folder: Path, commit: str) -> dict[str, object]:
    """Return the settings of four workers, a prepaid plan, and an issuer whose tokens name app and user.

    The long deadline keeps a busy machine from refusing requests for a reason other than the budget.
    """
    key_set = folder / "jwks.json"
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    key_set.write_text(f'{{"keys": [{algorithm.to_jwk(SIGNING_KEY.public_key())}]}}')
    issuer = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ["ES256"],
        "jwks_file": str(key_set),
        "app_claim": "app",
    }
    return {
        "workers": 4,
        "plans": {"prepaid": {"billing": "credits", "prices": [{"unit": "requests", "amount": PRICE}]}},
        "auth": {"issuers": [issuer]},
        "store": {"deadline_seconds": 10},
        "ledger": {"commit": commit},
        "log": {"requests": False},
    }


async def credentials(deployment: Deployment, app: str, key: str, count: int) -> list[str]:
    """Return credentials, a third each: the app's own key, keys of ten known users, tokens of unknown users."""
    async with deployment.store() as store:
        users = [(await Users(store.redis).create(app, f"user {number}"))[0] for number in range(10)]
        keys = [(await ApiKeys(store.redis, None).create(app, user=user.user_id))[1] for user in users]
    tokens = []
    for number in range(count // 3):
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "sub": f"new{number}", "app": app}
        tokens.append(jwt.encode(claims, SIGNING_KEY, "ES256"))
    return tokens + [keys[number % 10] for number in range(count // 3)] + [key] * (count - 2 * (count // 3))


async def spend(deployment: Deployment, tokens: Sequence[str], model: str) -> Counter[int]:
    """Send one request for each token, all at once; return the number of responses by status."""

    async def one(session: aiohttp.ClientSession, token: str) -> int:
        body, headers = IMAGE | {"model_id": model}, {"authorization": f"Bearer {token}"}
        async with session.post(deployment.public + "/text-to-image", json=body, headers=headers) as response:
            await response.read()
            return response.status

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return Counter(await asyncio.gather(*(one(session, token) for token in tokens)))


async def run(deployment: Deployment, rng: random.Random) -> tuple[int, float]:
    """Let a new app spend its whole budget; return how many requests that was, and the seconds it took."""
    affordable = rng.randrange(1, 400)
    budget = affordable * PRICE + rng.randrange(PRICE)
    customer = await deployment.customer("prepaid")
    wallet = redis_keys(deployment.settings).wallet(customer.app)
    tokens = await credentials(deployment, customer.app, customer.key, REQUESTS)
    rng.shuffle(tokens)
    async with deployment.store() as store, asyncio.timeout(TIMEOUT_SECONDS):
        await grant(store, redis_keys(deployment.settings), customer.app, None, budget, reference="budget")
        began = time.monotonic()
        held = f"hold=budget{customer.app}"
        spending = asyncio.create_task(
            spend(deployment, tokens, f"mock/{rng.choice([held, 'delay=0.05', 'images=1'])}")
        )
        while not spending.done():
            state = {field: int(value) for field, value in (await store.redis.hgetall(wallet)).items()}
            assert state.get(b"spent", 0) + state.get(b"held", 0) <= budget
            if state.get(b"held", 0) == affordable * PRICE:
                deployment.gateway.release(held.removeprefix("hold="))
            await asyncio.sleep(0.01)
        statuses = await spending
        took = time.monotonic() - began
    assert statuses == {200: affordable, 402: REQUESTS - affordable}
    await wait_until_settled(deployment)
    async with deployment.store() as store:
        state = {field: int(value) for field, value in (await store.redis.hgetall(wallet)).items()}
    assert state == {b"granted": budget, b"spent": affordable * PRICE, b"held": 0}
    return affordable, took


async def campaign(folder: Path, runs: int, commit: str) -> None:
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    async with deployed(folder, config(folder, commit)) as deployment:
        figures = [await run(deployment, rng) for _ in range(runs)]
        result = await audit(deployment)
    settled = sum(affordable for affordable, _ in figures)
    longest = max(seconds for _, seconds in figures)
    print(
        f"budget, {commit}: seed {seed}, {runs} of {runs} runs of {REQUESTS} parallel requests exact, "
        f"{settled} settled, none above its budget, longest {longest:.1f} s; {result}"
    )
    assert result.outcomes == {"complete": settled}


@pytest.mark.parametrize("commit", ["each", "group"])
async def test_parallel_requests_never_spend_more_than_there_is(tmp_path: Path, commit: str) -> None:
    await campaign(tmp_path, 3, commit)


@pytest.mark.soak
@pytest.mark.parametrize("commit", ["each", "group"])
async def test_parallel_requests_never_spend_more_than_there_is_fifty_times(tmp_path: Path, commit: str) -> None:
    await campaign(tmp_path, 50, commit)
