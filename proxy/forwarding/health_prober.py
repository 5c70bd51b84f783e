"""Asks gateways whether they live: before one is ejected, and until it is back."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Mapping

from middlewares.tier_routing.fleet import Fleet
from proxy.forwarding.gateway_metrics import GatewayMetrics
from proxy.upstream import ConnectionPool, Timeouts, UpstreamError

PROBE = b"/healthz"
"""200 and empty at every gateway that lives (gateway contract section 1.6)."""
PAUSE_SECONDS = 0.25
"""Time between two probes of a gateway that is not ejected yet."""
APART_SECONDS = 0.1
"""Least time between two probes of one gateway: a flood of drops must not become one of probes."""
JITTER = 0.2
"""Share by which a pause is longer or shorter at random, so that workers do not probe in step."""


class HealthProber:
    """Reports to the fleet which gateways live, and probes those that are in doubt.

    Doubt begins with a connection that is not taken, a drop or a 5xx, and ends with a response. While it lasts there is
    one probe at a time for each gateway, on a connection of its own: every cool-down once the gateway is ejected, with
    or without traffic. `pools` are connections for probes alone, `hosts` the Host headers, by origin.
    """

    def __init__(
        self, fleet: Fleet, pools: Mapping[str, ConnectionPool], hosts: Mapping[str, bytes], metrics: GatewayMetrics
    ) -> None:
        self._fleet = fleet
        self._pools = pools
        self._hosts = hosts
        self._metrics = metrics
        self._doubts: dict[str, _Doubt] = {}
        self._probed: dict[str, float] = {}
        """When each gateway was probed last; seconds of `time.monotonic`."""

    def record_response(self, url: str) -> None:
        """Record that the gateway responded to a request."""
        if self._fleet.record_response(url):
            self._metrics.returned(url)
            self._end_doubt(url, responds=True)

    def record_unreachable(self, url: str) -> None:
        """Record that the gateway took no connection."""
        self._record_failure(url)
        self._doubt(url)

    def suspect(self, url: str) -> None:
        """Have the gateway probed now, because it took a request and did not serve it."""
        self._doubt(url).hurry.set()

    def count_error(self, url: str, code: str) -> None:
        """Count an attempt that the gateway failed, whatever that says of its health."""
        self._metrics.failed(url, code)

    async def keep_showing(self) -> None:
        """Show in the metrics what is in flight at each gateway, until cancelled."""
        await self._metrics.keep_showing(self._fleet)

    async def responds(self, url: str) -> bool:
        """Return True if the gateway responds to the next probe, which is due now."""
        doubt = self._doubt(url)
        doubt.hurry.set()
        return await asyncio.shield(doubt.verdict)

    async def close(self) -> None:
        """Stop all probes."""
        tasks = [doubt.task for doubt in self._doubts.values() if doubt.task]
        for url in list(self._doubts):
            self._end_doubt(url, responds=False)
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in self._pools.values():
            pool.close()

    def _record_failure(self, url: str) -> None:
        if self._fleet.record_failure(url):
            self._metrics.ejected(url)

    def _doubt(self, url: str) -> _Doubt:
        doubt = self._doubts.get(url)
        if doubt is None:
            doubt = self._doubts[url] = _Doubt()
            doubt.task = asyncio.create_task(self._probe_until_it_responds(url, doubt))
        return doubt

    def _end_doubt(self, url: str, *, responds: bool) -> None:
        doubt = self._doubts.pop(url, None)
        if doubt is not None and doubt.task is not None:
            doubt.task.cancel()
            doubt.decide(responds=responds)

    async def _probe_until_it_responds(self, url: str, doubt: _Doubt) -> None:
        try:
            while not await self._probe(url):
                self._record_failure(url)
                doubt.decide(responds=False)
                ejected = self._fleet.gateways[url].ejected
                seconds = self._fleet.health[url].ejection_seconds if ejected else PAUSE_SECONDS
                await doubt.pause(seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret
            if self._fleet.record_response(url):
                self._metrics.returned(url)
            doubt.decide(responds=True)
        finally:
            if self._doubts.get(url) is doubt:
                del self._doubts[url]
            doubt.decide(responds=False)  # for whoever waits still, should this have failed

    async def _probe(self, url: str) -> bool:
        """Return True if the gateway responds in time, with anything but a 5xx."""
        await asyncio.sleep(self._probed.get(url, -math.inf) + APART_SECONDS - time.monotonic())
        self._probed[url] = time.monotonic()
        seconds = self._fleet.health[url].probe_seconds
        timeouts = Timeouts(queue=seconds, connect=seconds, first_byte=seconds, idle=seconds)
        try:
            async with asyncio.timeout(seconds):
                headers = [(b"host", self._hosts[url])]
                with await self._pools[url].send(b"GET", PROBE, headers, timeouts=timeouts) as response:
                    return response.status < 500
        except (UpstreamError, TimeoutError):
            return False


class _Doubt:
    """The time in which it is open whether one gateway lives."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.hurry = asyncio.Event()
        """Set to have the next probe now."""
        self.verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """What the next probe finds."""

    def decide(self, *, responds: bool) -> None:
        """Give the verdict to those who wait for it; the next probe gives a new one."""
        if not self.verdict.done():
            self.verdict.set_result(responds)
        self.verdict = asyncio.get_running_loop().create_future()

    async def pause(self, seconds: float) -> None:
        """Wait before the next probe, unless that is wanted now."""
        self.hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.hurry.wait()
