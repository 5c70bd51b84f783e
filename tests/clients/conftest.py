"""One deployment for clients that none of us wrote, with plans on which builders' apps behave as tutorials say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.api.conftest import CONTROL, app, http
from tests.support.deployment import Deployment, deployed

__all__ = ["app", "http", "running"]
PRICE = 7 * 10**20 + 1
"""Beyond what a number of JavaScript can hold."""
SLOW_PER_MINUTE = 5
_PRICES = [{"workload": "text-to-image", "unit": "generations", "amount": str(PRICE)}]
PLANS = {
    "priced": {"tier": "premium", "billing": "usage", "prices": _PRICES},
    "prepaid": {"tier": "standard", "billing": "credits", "prices": _PRICES},
    "slow": {"tier": "standard", "limits": {"app": {"requests_per_minute": SLOW_PER_MINUTE}}},
}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers whose limits no test reaches by itself."""
    config = {"workers": 2, "control": CONTROL, "auth": {"failures_per_minute": 100_000}, "plans": PLANS}
    async with deployed(tmp_path_factory.mktemp("clients"), config) as deployment:
        yield deployment
