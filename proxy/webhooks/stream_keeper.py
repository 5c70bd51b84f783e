"""Ticks BYOC streams, and stops those at their gateways that may not go on."""

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
from middlewares.live.byoc_streams import GRACE_MS, ActiveStream, Streams
from middlewares.store import StoreError
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.upstream import ConnectionPool, Timeouts, UpstreamError

FORGOTTEN_MS = 86_400_000
"""A gateway that cannot be reached for so long is not asked to stop a stream any more."""
STOP_TIMEOUTS = Timeouts(5.0, 5.0, 30.0, 10.0)

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.streams")


class StreamKeeper:
    """Runs in every worker. Two at once do no harm: a tick right after another one is passed over."""

    def __init__(
        self,
        streams: Streams,
        ledger: Ledger,
        principals: PrincipalResolver,
        pools: Mapping[str, ConnectionPool],
        hosts: Mapping[str, bytes],
    ) -> None:
        self._streams = streams
        self._ledger = ledger
        self._principals = principals
        self._pools = pools
        self._hosts = hosts

    async def run(self) -> None:
        """Until cancelled. A store that is away is simply asked again."""
        while True:
            await asyncio.sleep(self._streams.tick / 1000)
            with contextlib.suppress(StoreError):  # the breaker has logged it
                await self.sweep()

    async def sweep(self) -> None:
        """One tick for every stream. Raises `StoreError`."""
        await gather_bounded(self._keep, list((await self._streams.living()).items()))

    async def _keep(self, entry: tuple[str, ActiveStream]) -> None:
        stream, living = entry
        found = await self._streams.find(living.app, stream)
        if found and await self._streams.charge_until_now(found, await self._current_policy(found.session.hold)):
            return
        age = self._ledger.clock.now_ms() - living.since_ms
        if found is None and age < GRACE_MS:  # it is just being started
            return
        if await self._stop(living.gateway, stream) or age > FORGOTTEN_MS:
            await self._streams.end(living.app, stream)
            log.info("stream_stopped", app=living.app, stream=stream)

    async def _current_policy(self, hold: Hold) -> Policy | None:
        """The limits and prices that its principal has now; None where that may not go on. Raises `StoreError`."""
        try:
            who = await self._principals.current(hold)
        except Refusal:
            return None
        return self._ledger.policy(who.app, who.user, who.key, who.plan_name, who.plan)

    async def _stop(self, gateway: str, stream: str) -> bool:
        """Tell the gateway to stop it. True: it does not run there any more."""
        pool = self._pools.get(gateway)
        if pool is None:  # not one of ours any more
            return True
        target = f"/process/stream/{stream}/stop".encode()
        headers = [(b"host", self._hosts[gateway])]
        try:
            with await pool.send(b"POST", target, headers, length=0, timeouts=STOP_TIMEOUTS) as response:
                return response.status < 500
        except UpstreamError as error:
            log.warning("stream_not_stopped", stream=stream, gateway=gateway, error=str(error))
            return False
