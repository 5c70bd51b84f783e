"""A running mock gateway and clients for it."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
import pytest

from proxy.mock_gateway import MockGateway, Options

DEADLINE = 20.0


@pytest.fixture
async def mock_gateway() -> AsyncIterator[MockGateway]:
    """A mock gateway with the gateway's defaults."""
    async with MockGateway() as running:
        yield running


@pytest.fixture
async def stored() -> AsyncIterator[MockGateway]:
    """A mock gateway with an object store and a record store."""
    async with MockGateway(Options(external_store=True, gateway_host="gateway.example")) as running:
        yield running


@pytest.fixture
async def client(mock_gateway: MockGateway) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of `mock_gateway`."""
    async with connect(mock_gateway) as connected:
        yield connected


def connect(mock_gateway: MockGateway) -> httpx.AsyncClient:
    """A client that ignores the environment's proxies; without TLS, so it need not load certificates."""
    return httpx.AsyncClient(base_url=mock_gateway.url, trust_env=False, verify=False, timeout=DEADLINE)


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """The process and its URL; killed at the end if it has not stopped by itself."""
    command = [sys.executable, "-m", "proxy.mock_gateway", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            url = (await process.stdout.readline()).decode().strip()
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
