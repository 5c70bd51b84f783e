"""One deployment of two workers for the tests of the builder API, and the apps that call it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.builder import BuilderApp, builder_app
from tests.support.deployment import Deployment, deployed

CONTROL = {"requests_per_minute": 100_000, "token_requests_per_minute": 100_000}
CONFIG = {
    "workers": 2,
    "control": CONTROL,
    "auth": {"failures_per_minute": 100_000},
    "sign_in": {"wallet": True, "nonces_per_address": 10_000},
}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers whose limits no test reaches."""
    async with deployed(tmp_path_factory.mktemp("builder"), CONFIG) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def http(running: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client without credentials."""
    async with httpx.AsyncClient(base_url=running.public, timeout=30, trust_env=False, verify=False) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="package")
async def app(running: Deployment, http: httpx.AsyncClient) -> BuilderApp:
    """Create an app without users."""
    return await builder_app(running, http)
