"""BYOC streams as their gateways know them: looked for before they are charged, and stopped."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum

import structlog

from proxy.upstream import ConnectionPool, Timeouts, UpstreamError

STATUS_TIMEOUTS = Timeouts(queue=2.0, connect=2.0, first_byte=3.0, idle=3.0)
STOP_TIMEOUTS = Timeouts(queue=5.0, connect=5.0, first_byte=30.0, idle=10.0)
PARALLEL = 32
"""Requests of this kind at once to one gateway."""
FAILURES = 3
"""Failures in a row after which a gateway is left alone for `PAUSE_SECONDS`, for the sake of the other gateways."""
PAUSE_SECONDS = 10.0
GONE = frozenset({404, 410})
NO_DATA_OUTPUT = 503
"""Status of the data of a stream that lives and has no data output (gateway contract section 1.7)."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.streams")


class Presence(StrEnum):
    """Whether a gateway knows a stream."""

    KNOWN = "known"
    """It does, which proves that the stream lives."""
    ENDED = "ended"
    """It does not (any more)."""
    UNPROVEN = "unproven"
    """It could not be reached, or responded with something else."""


class GatewayStreams:
    """Sends requests about streams to gateways, few at a time, and none to one that has just failed to respond."""

    def __init__(self, pools: Mapping[str, ConnectionPool], hosts: Mapping[str, bytes]) -> None:
        """`pools` and `hosts` are the connections and Host headers of the gateways, by origin."""
        self._pools = pools
        self._hosts = hosts
        self._slots = {gateway: asyncio.Semaphore(PARALLEL) for gateway in pools}
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._paused_until: dict[str, float] = {}

    async def presence(self, gateway: str, stream: str) -> Presence:
        """Return whether the gateway knows the stream; one that is no longer configured does not.

        The status of a stream outlives it by a minute. An update, which needs a job header and changes nothing
        without one, is 404 as soon as the stream has ended, so it is sent first. A live stream may be without a status
        for a while from its second minute on, until its worker reports one; its data is then 503 rather than 404.
        """
        if gateway not in self._pools:
            return Presence.ENDED
        updated = await self._request(gateway, b"POST", stream, "update", STATUS_TIMEOUTS)
        if updated in GONE:
            return Presence.ENDED
        status = await self._request(gateway, b"GET", stream, "status", STATUS_TIMEOUTS) if updated else 0
        if status in GONE:
            data = await self._request(gateway, b"GET", stream, "data", STATUS_TIMEOUTS)
            return Presence.KNOWN if data == NO_DATA_OUTPUT else Presence.ENDED
        return Presence.KNOWN if 200 <= status < 300 else Presence.UNPROVEN

    async def stop(self, gateway: str, stream: str) -> bool:
        """Send the gateway the stop. True: the stream does not run there any more."""
        if gateway not in self._pools:
            return True
        return 0 < await self._request(gateway, b"POST", stream, "stop", STOP_TIMEOUTS) < 500

    async def _request(self, gateway: str, method: bytes, stream: str, action: str, timeouts: Timeouts) -> int:
        """Return the status of the response; 0: there was none."""
        target = f"/process/stream/{stream}/{action}".encode()
        headers = [(b"host", self._hosts[gateway])]
        length = 0 if method == b"POST" else None
        async with self._slots[gateway]:
            if time.monotonic() < self._paused_until.get(gateway, 0.0):
                return 0
            try:
                pool = self._pools[gateway]
                with await pool.send(method, target, headers, length=length, timeouts=timeouts) as response:
                    self._failures[gateway] = 0
                    return response.status
            except UpstreamError as error:
                self._failures[gateway] += 1
                if self._failures[gateway] >= FAILURES:
                    self._failures[gateway] = 0
                    self._paused_until[gateway] = time.monotonic() + PAUSE_SECONDS
                event = "stream_not_stopped" if action == "stop" else "stream_status_unknown"
                log.warning(event, stream=stream, gateway=gateway, error=str(error))
                return 0
