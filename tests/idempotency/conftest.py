"""One deployment of two workers for all tests of this folder that leave it as they found it."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.deployment import Customer, Deployment, deployed

RESPONSE_BYTES = 8_192
PRICE = 7
ORPHANS = ("refund", "estimate", "attention")
"""What a plan may say of orphans; each is the name of a plan here."""
CONFIG = {
    "workers": 2,
    "hold_ttl": 4,
    "idempotency": {"response_bytes": RESPONSE_BYTES, "bytes_per_app": 2 * RESPONSE_BYTES, "replays_per_minute": 20},
    "edge": {"cors": {"allow_origins": ["https://app.example"]}},
    "plans": {
        plan: {
            "billing": "usage",
            "tier": "a",
            "on_orphan": plan,
            "prices": [{"unit": "pixels", "amount": PRICE}, {"unit": "output_tokens", "amount": PRICE}],
        }
        for plan in ORPHANS
    },
}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers, with a plan for each way to end an orphan."""
    async with deployed(tmp_path_factory.mktemp("idempotency"), CONFIG) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def customer(deployment: Deployment) -> Customer:
    """Create a customer of its own for one test."""
    return await deployment.customer("refund")


@pytest_asyncio.fixture(loop_scope="package")
async def client(deployment: Deployment, customer: Customer) -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client of the customer; each request has a connection of its own, to meet both workers."""
    async with httpx.AsyncClient(
        base_url=deployment.public,
        headers=customer.headers,
        timeout=30,
        trust_env=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    ) as http:
        yield http
