"""One deployment of two workers in which wallets may sign in, and what operators do for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.sign_in.operator import Operator
from tests.support.deployment import Deployment, deployed
from tests.support.wallet import Wallet

OPEN_LIMITS = {
    "control": {"requests_per_minute": 100_000, "token_requests_per_minute": 100_000},
    "auth": {"failures_per_minute": 100_000},
}
SIGN_IN = {"wallet": True, "nonces_per_address": 10_000}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers whose limits no test reaches, with sign-up closed."""
    config = {"workers": 2, "sign_in": SIGN_IN, **OPEN_LIMITS}
    async with deployed(tmp_path_factory.mktemp("sign-in"), config) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def http(running: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client without credentials."""
    async with httpx.AsyncClient(base_url=running.public, timeout=30, trust_env=False, verify=False) as client:
        yield client


@pytest.fixture
def operator(running: Deployment) -> Operator:
    """Return the operator of the deployment."""
    return Operator(running)


@pytest_asyncio.fixture(loop_scope="package")
async def wallet(operator: Operator) -> Wallet:
    """Return a wallet whose owner an operator has added."""
    wallet = Wallet()
    await operator.add(wallet)
    return wallet
