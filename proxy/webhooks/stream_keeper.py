"""The upkeep of BYOC streams: charges each for its time, and stops at its gateway what may not continue.

Gateways send no heartbeats for BYOC streams (gateway contract section 5.3), so Tollgate keeps their time itself.
`middlewares.live.byoc_streams` registers a stream when it starts; this charges it from then on, once in each tick, and
only for time up to which its gateway knows it: a stream also ends by itself, and nobody is told (section 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from middlewares.exchange import Refusal
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Hold
from middlewares.ledger.sessions.sessions import SessionSnapshot
from middlewares.live.byoc_streams import GAP_MS, GRACE_MS, ByocStreams
from middlewares.live.stream_registry import ActiveStream, stream_of
from middlewares.store import StoreError
from middlewares.stream_scope import check_stream
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.upstream import ConnectionPool
from proxy.webhooks.gateway_streams import GatewayStreams, Presence

ABANDONED_MS = 86_400_000
"""Age in milliseconds past which a stream is dropped although its gateway could not be reached to stop it."""

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
        pools: Mapping[str, ConnectionPool],
        hosts: Mapping[str, bytes],
    ) -> None:
        """`pools` and `hosts` are the connections and Host headers of the gateways, by origin."""
        self._streams = streams
        self._ledger = ledger
        self._principals = principals
        self._gateways = GatewayStreams(pools, hosts)

    async def run(self) -> None:
        """Sweep once in each tick until cancelled. While Redis is away, sweeps end early."""
        while True:
            await asyncio.sleep(self._streams.tick / 1000)
            try:
                await self.sweep()
            except StoreError:  # the breaker has logged it
                continue
            except Exception:  # whatever it was: without this task no stream would be charged any more
                log.exception("stream_sweep_failed")

    async def sweep(self) -> None:
        """Charge or stop each registered stream once. Raises `StoreError`."""
        await gather_bounded(self._charge_or_stop, list((await self._streams.active()).items()))

    async def _charge_or_stop(self, item: tuple[str, ActiveStream]) -> None:
        entry, active = item
        stream = stream_of(entry)
        if active.starting and await self._streams.registry.is_being_started(active):
            return
        found = await self._streams.find(active.app, stream)
        if active.starting and found:  # another start of the same name was the one that succeeded
            await self._streams.registry.forget(active.app, entry)
            return
        if found and await self._charge(stream, active, found):
            return
        age_ms = self._ledger.clock.now_ms() - active.since_ms
        if found is None and not active.starting and age_ms < GRACE_MS:  # its session is still to come
            return
        stopped = [await self._gateways.stop(gateway, stream) for gateway in active.gateways]
        if all(stopped) or age_ms > ABANDONED_MS:
            if active.starting:
                await self._streams.registry.forget(active.app, entry)
            else:
                await self._streams.end(active.app, stream)
            log.info("stream_stopped", app=active.app, stream=stream)

    async def _charge(self, stream: str, active: ActiveStream, found: SessionSnapshot) -> bool:
        """Charge a stream as far as it is proven to live. Return False if it has ended or has to be stopped."""
        session = found.session
        if active.session not in ("", session.id) and found.now - session.hold.started_ms < GRACE_MS:
            return True  # it was started again since the registry was read
        policy = await self._current_policy(session.hold, stream)
        if not self._streams.is_due(found, policy):
            return True
        presence = await self._gateways.presence(active.gateway, stream)
        if presence is Presence.KNOWN:
            return await self._streams.charge_until_now(found, policy)
        if presence is Presence.UNPROVEN and found.now - session.seen_ms <= GAP_MS:
            return True  # its gateway may be back before long; then all that time is charged
        if not await self._streams.end_at_last_tick(found):
            return True
        log.info("stream_ended", app=active.app, stream=stream, gateway=active.gateway, presence=presence)
        return False

    async def _current_policy(self, hold: Hold, stream: str) -> Policy | None:
        """Return the policy its principal has now; None if it may not continue. Raises `StoreError`."""
        try:
            principal = await self._principals.current(hold)
            check_stream(principal, stream)
        except Refusal:
            return None
        return self._ledger.policy(
            principal.app,
            principal.user,
            principal.key,
            principal.plan_name,
            principal.plan,
            terms=principal.key_terms,
        )
