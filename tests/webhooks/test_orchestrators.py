"""Hazards: a gateway that is given an orchestrator which was blocked, or no list because one source is away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.settings import Settings
from config.webhooks import OrchestratorList, orchestrator_address
from proxy.control.blocked_orchestrators import BlockedOrchestrators
from proxy.webhooks import orchestrator_sources
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.orchestrator_sources import BadList, UpstreamList, parse_list
from proxy.webhooks.service import Webhooks
from tests.live.assertions import LedgerView
from tests.live.server_fixture import SECRET
from tests.support.served import served

A, B = "https://a.example.com:8935", "https://b.example.com:8935"
RANKING = [{"orchUri": A, "slaScore": 0.9, "gpuName": "L40S"}, {"orchUri": B, "slaScore": 0.4}]


class Upstream:
    """A ranked list by HTTP, which the test changes."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, json.dumps(RANKING).encode(), asyncio.Event()
        self.app = Starlette(routes=[Route("/rank", self._respond)])

    async def _respond(self, _: Request) -> Response:
        self.asked.set()
        return Response(self.body, self.status, media_type="application/json")


class Failures:
    """Counts failures, and wakes whoever waits for them."""

    def __init__(self) -> None:
        self._failed = asyncio.Semaphore(0)

    def count(self) -> None:
        self._failed.release()

    async def two_more(self) -> None:
        """Wait for a failure that began after this call: the first may be of a response that was under way."""
        while not self._failed.locked():
            await self._failed.acquire()
        for _ in range(2):
            await self._failed.acquire()


@contextlib.asynccontextmanager
async def lists(view: LedgerView, tiers: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the lists; yield a client that calls them as a gateway does: a GET without any header of its own."""
    settings = Settings.model_validate({"webhooks": {"discovery": {"secret": SECRET, "tiers": tiers}}})
    webhooks = Webhooks(view.clocked, view.store.redis, view.keys, LiveMetrics(CollectorRegistry()))
    await webhooks.configure(settings)
    try:
        async with (
            served(Starlette(routes=webhooks.routes())) as origin,
            httpx.AsyncClient(base_url=origin, trust_env=False, params={"secret": SECRET}) as client,
        ):
            yield client
    finally:
        await webhooks.close()


async def listed(client: httpx.AsyncClient, tier: str = "premium") -> list[dict[str, Any]]:
    response = await client.get(f"/webhooks/orchestrators/{tier}")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


async def test_a_list_has_the_shape_that_a_gateway_reads(ledger_view: LedgerView) -> None:
    given = [{"address": "https://A.example.com:8935/"}, {"address": B, "score": 0}]
    async with lists(ledger_view, {"premium": {"orchestrators": given}, "budget": {"orchestrators": []}}) as client:
        assert await listed(client) == [{"address": A, "score": 1.0}, {"address": B, "score": 0.0}]
        assert await listed(client, "budget") == []
        unknown = await client.get("/webhooks/orchestrators/gold")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_who_is_blocked_is_in_no_list_from_the_next_request_on(ledger_view: LedgerView) -> None:
    blocked = BlockedOrchestrators(ledger_view.store.redis)
    async with lists(ledger_view, {"premium": {"orchestrators": [{"address": A}, {"address": B}], "top": 1}}) as client:
        assert await listed(client) == [{"address": A, "score": 1.0}]
        assert await blocked.block(A)
        assert not await blocked.block(A)
        assert await listed(client) == [{"address": B, "score": 1.0}]  # the next one moves up
        await blocked.block(B)
        assert await listed(client) == []
        assert await blocked.unblock(A)
        assert await listed(client) == [{"address": A, "score": 1.0}]


async def test_without_redis_the_last_block_list_holds_and_none_at_all_is_an_error(ledger_view: LedgerView) -> None:
    away = AwayNow(ledger_view.store.redis)
    registry = LiveMetrics(CollectorRegistry())
    source = OrchestratorList.model_validate({"orchestrators": [{"address": A}, {"address": B}]})
    found = orchestrators(source, away, registry)
    away.away = True
    with pytest.raises(Exception, match="block list cannot be read"):
        await found.of_tier("premium")
    away.away = False
    await BlockedOrchestrators(ledger_view.store.redis).block(A)
    assert [each["address"] for each in await found.of_tier("premium")] == [B]
    away.away = True
    assert [each["address"] for each in await found.of_tier("premium")] == [B]


class AwayNow:
    """A Redis that may be away."""

    def __init__(self, redis: Any) -> None:
        self._redis, self.away = redis, False

    async def smembers(self, name: str) -> Any:
        if self.away:
            raise ConnectionError("Redis is away")
        return await self._redis.smembers(name)


def orchestrators(source: OrchestratorList, redis: Any, metrics: LiveMetrics) -> Any:
    from proxy.webhooks.orchestrators import OrchestratorLists

    return OrchestratorLists({"premium": source}, BlockedOrchestrators(redis), metrics)


async def test_a_file_is_read_again_and_a_broken_one_changes_nothing(ledger_view: LedgerView, tmp_path: Path) -> None:
    path = tmp_path / "premium.txt"
    async with lists(ledger_view, {"premium": {"file": str(path)}}) as client:
        missing = await client.get("/webhooks/orchestrators/premium")
        assert (missing.status_code, missing.json()["code"]) == (503, "no_orchestrator_list")
        path.write_text(f"# our own\n{A}  # fast\n\nhttp://plain.example.com:1\n")
        assert [each["address"] for each in await listed(client)] == [A]
        replace(path, json.dumps([{"address": B, "score": 0}, {"address": A}]))
        assert await listed(client) == [{"address": B, "score": 0.0}, {"address": A, "score": 1.0}]
        for broken in ("", "[", '{"address": "https://x.example.com:1"}', '[{"address": 1}]', " " * 1_048_577):
            replace(path, broken)
            assert [each["address"] for each in await listed(client)] == [B, A], broken[:20]
        path.unlink()
        assert [each["address"] for each in await listed(client)] == [B, A]


def replace(path: Path, text: str) -> None:
    """Write a file anew, as of another time."""
    before = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


async def test_an_upstream_that_is_away_leaves_the_last_list_in_use() -> None:
    upstream, failures = Upstream(), Failures()
    async with served(upstream.app) as origin:
        source = UpstreamList(f"{origin}/rank", 0.01, failures.count, "premium")
        source.start()
        assert [each.address for each in await source.orchestrators() or ()] == [A, B]
        for status, body in ((500, upstream.body), (200, b"[]"), (200, b"<html>"), (200, b" " * 1_048_577)):
            upstream.status, upstream.body = status, body
            await failures.two_more()
            assert [each.address for each in await source.orchestrators() or ()] == [A, B]
    await failures.two_more()
    assert [each.address for each in await source.orchestrators() or ()] == [A, B]
    await source.stop()


async def test_a_list_that_was_never_fetched_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator_sources, "FIRST_FETCH_SECONDS", 0.05)
    hung = asyncio.Event()

    async def respond(_: Request) -> Response:
        await hung.wait()
        return Response()

    async with served(Starlette(routes=[Route("/rank", respond)])) as origin:
        source = UpstreamList(f"{origin}/rank", 60, lambda: None, "premium")
        source.start()
        assert await source.orchestrators() is None
        await source.stop()
        hung.set()


def test_a_ranking_is_a_list_too() -> None:
    assert [(each.address, each.score) for each in parse_list(json.dumps(RANKING).encode())] == [(A, 1), (B, 1)]
    with pytest.raises(BadList):
        parse_list(b'[{"address": "http://a.example.com:1"}, {"address": null}, {}]')


@pytest.mark.parametrize(
    "text",
    [
        "http://a:1",
        "https://",
        "a.example.com:8935",
        "https://a:b",
        "https://u:p@a:1",
        "https://a:1/x",
        "https://a:1?q",
        "https://a b",
        "https://[::1",
        "https://a:99999",
    ],
)
def test_what_is_no_https_origin_is_no_orchestrator(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        orchestrator_address(text)


def test_one_orchestrator_has_one_spelling() -> None:
    assert {orchestrator_address(each) for each in ("https://A.b", "HTTPS://a.b:443/", " https://a.b:443")} == {
        "https://a.b:443"
    }
    assert orchestrator_address("https://[::1]:8935") == "https://[::1]:8935"


@pytest.mark.parametrize("given", [{}, {"file": "x", "url": "https://a/"}, {"url": "http://a.example.com/"}])
def test_a_list_has_exactly_one_source(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"exactly one|https URL"):
        OrchestratorList.model_validate(given)
