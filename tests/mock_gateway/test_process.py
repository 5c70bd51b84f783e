"""The mock gateway as a process of its own."""

import asyncio
import signal

import httpx
import pytest

from proxy.mock_gateway.media import pattern_slice
from tests.mock_gateway.conftest import DEADLINE, running
from tests.mock_gateway.wiretap import exchange, request

pytestmark = pytest.mark.ci


@pytest.mark.sampled(2)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_serves_until_a_signal(ending: signal.Signals) -> None:
    async with running() as (process, url):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            stalled = asyncio.ensure_future(client.get("/healthz", headers={"x-mock-gateway": "stall"}))
            assert (await client.get("/__mock/wait?held=1")).json()["held"] == 1
            process.send_signal(ending)
            with pytest.raises(httpx.TransportError):
                await stalled
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
        assert (process.returncode, out, err) == (0, b"", b"")


async def test_drops_and_resets_under_uvloop() -> None:
    async with running() as (_, url):
        port = int(url.rpartition(":")[2])
        assert await exchange(port, request("/llm", "X-Mock-Gateway: drop")) == b""
        with pytest.raises(ConnectionResetError):
            await exchange(port, request("/llm", "X-Mock-Gateway: reset"))
        cut = await exchange(port, request("/x", "X-Mock-Gateway: bytes=9,drop-after-bytes=5"))
        assert cut.endswith(b"\r\n\r\n" + pattern_slice(0, 5))


async def test_a_crash_exits_with_2() -> None:
    async with running("--crash") as (process, url):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/llm", headers={"x-mock-gateway": "crash"})
        async with asyncio.timeout(DEADLINE):
            _, err = await process.communicate()
        assert (process.returncode, err) == (2, b"")


async def test_options() -> None:
    options = ["--external-store", "--gateway-host", "g.example", "--no-http-ingest", "--capacity", "4"]
    options += ["--stock-ffmpeg", "--async-results", "--monitor", "--offchain", "--byoc-event-timeout", "1"]
    async with running(*options) as (_, url), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.post("/llm")).status_code == 404


async def test_bad_options_exit_with_2() -> None:
    async with running("--port", "x") as (process, url):
        assert url == ""
        assert await process.wait() == 2
