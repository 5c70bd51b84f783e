"""One gate for all tests that leave it as they found it; those that hurt it start their own."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.deployment import Customer, Deployment, deployed


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate with two workers and default settings."""
    async with deployed(tmp_path_factory.mktemp("gate"), {"workers": 2}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def client(gate: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that gate, without credentials."""
    async with httpx.AsyncClient(base_url=gate.public, timeout=30, trust_env=False, verify=False) as http:
        yield http


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def somebody(gate: Deployment) -> Customer:
    """A customer of that gate without limits, for tests that count nothing."""
    return await gate.customer()
