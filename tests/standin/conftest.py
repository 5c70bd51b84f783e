"""A running stand-in and clients for it."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
import pytest

from proxy.standin import Standin

DEADLINE = 20.0


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    """A stand-in with the gateway's defaults."""
    async with Standin() as running:
        yield running


@pytest.fixture
async def stored() -> AsyncIterator[Standin]:
    """A stand-in with an object store and a record store."""
    async with Standin(external_store=True, gateway_host="gateway.example") as running:
        yield running


@pytest.fixture
async def client(standin: Standin) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of `standin`."""
    async with connect(standin) as connected:
        yield connected


def connect(standin: Standin) -> httpx.AsyncClient:
    """A client that ignores the environment's proxies; without TLS, so it need not load certificates."""
    return httpx.AsyncClient(base_url=standin.url, trust_env=False, verify=False, timeout=DEADLINE)


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """The process and its URL; killed at the end if it has not stopped by itself."""
    command = [sys.executable, "-m", "proxy.standin", *arguments]
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
