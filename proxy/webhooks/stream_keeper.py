"""The upkeep of BYOC streams: charges each for its time, and stops at its gateway what may not continue.

Gateways send no heartbeats for BYOC streams (gateway contract section 5.3), so Tollgate keeps their time itself.
`middlewares.live.byoc_streams` registers a stream when it starts; this charges it from then on, once in each tick.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import structlog

from middlewares.exchange import Refusal
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Hold
from middlewares.live.byoc_streams import GRACE_MS, ActiveStream, ByocStreams
from middlewares.store import StoreError
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.upstream import Pool, Timeouts, UpstreamError

ABANDONED_MS = 86_400_000
"""Age in milliseconds past which a stream is dropped although its gateway could not be reached to stop it."""
STOP_TIMEOUTS = Timeouts(5.0, 5.0, 30.0, 10.0)

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.streams")


class StreamKeeper:
    """Charges and stops the streams of all workers.

    Runs in every worker, so that streams outlive the one that started them. Two at once do no harm: a tick right
    after another one charges nothing.
    """

    def __init__(
        self,
        streams: ByocStreams,
        ledger: Ledger,
        principals: PrincipalResolver,
        pools: Mapping[str, Pool],
        hosts: Mapping[str, bytes],
    ) -> None:
        """`pools` and `hosts` are the connections and Host headers of the gateways, by origin."""
        self._streams = streams
        self._ledger = ledger
        self._principals = principals
        self._pools = pools
        self._hosts = hosts

    async def run(self) -> None:
        """Sweep once in each tick until cancelled. While Redis is away, sweeps end early."""
        while True:
            await asyncio.sleep(self._streams.tick / 1000)
            with contextlib.suppress(StoreError):  # the breaker has logged it
                await self.sweep()

    async def sweep(self) -> None:
        """Charge or stop each registered stream once. Raises `StoreError`."""
        await gather_bounded(self._charge_or_stop, list((await self._streams.active()).items()))

    async def _charge_or_stop(self, entry: tuple[str, ActiveStream]) -> None:
        stream, active = entry
        found = await self._streams.find(active.app, stream)
        if found and await self._streams.charge_until_now(found, await self._current_policy(found.session.hold)):
            return
        age_ms = self._ledger.clock.now_ms() - active.since_ms
        if found is None and age_ms < GRACE_MS:  # registered first, its session is still to come
            return
        if await self._stop(active.gateway, stream) or age_ms > ABANDONED_MS:
            await self._streams.end(active.app, stream)
            log.info("stream_stopped", app=active.app, stream=stream)

    async def _current_policy(self, hold: Hold) -> Policy | None:
        """Return the policy its principal has now; None if it may not continue. Raises `StoreError`."""
        try:
            principal = await self._principals.current(hold)
        except Refusal:
            return None
        return self._ledger.policy(principal.app, principal.user, principal.key, principal.plan_name, principal.plan)

    async def _stop(self, gateway: str, stream: str) -> bool:
        """Send the gateway the stop. True: the stream does not run there any more."""
        pool = self._pools.get(gateway)
        if pool is None:  # no longer configured
            return True
        target = f"/process/stream/{stream}/stop".encode()
        headers = [(b"host", self._hosts[gateway])]
        try:
            with await pool.send(b"POST", target, headers, length=0, timeouts=STOP_TIMEOUTS) as response:
                return response.status < 500
        except UpstreamError as error:
            log.warning("stream_not_stopped", stream=stream, gateway=gateway, error=str(error))
            return False
