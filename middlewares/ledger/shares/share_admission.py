"""Admits requests of busy policies by this worker alone: from its share of the limits, with the hold on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from config.runtime import Fsync
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.group_commit.committer import RETRY_SECONDS, GroupCommitter
from middlewares.ledger.group_commit.running import PERIOD_SECONDS, RunningHolds
from middlewares.ledger.group_commit.write_ahead_log import WriteAheadLog
from middlewares.ledger.model import Admitted, Hold, Settlement
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.journal import JournalFull
from middlewares.ledger.settlement.settler import Settler
from middlewares.ledger.shares.shares import Shares
from middlewares.store import ScriptRunner, StoreError

SYNC_SECONDS = 1.0


class ShareAdmission:
    """Requests that Redis learns of when they have ended."""

    def __init__(
        self,
        runner: ScriptRunner,
        keys: RedisKeys,
        clock: RedisClock,
        settler: Settler,
        on_written: Callable[[Settlement], None],
        *,
        folder: Path,
        log_bytes: int,
        fsync: Fsync,
        hold_ttl: float,
    ) -> None:
        """`on_written` is called with each settlement that is in Redis from now on; `hold_ttl` as of `Shares`."""
        self.log = WriteAheadLog(folder, log_bytes, fsync)
        self._shares = Shares(runner, clock, hold_ttl, self.log.incarnation)
        self._found_logs = settler.found_logs
        self._hold_ttl = hold_ttl
        self.committer = GroupCommitter(
            runner, keys, self.log, settler, on_written=on_written, on_committed=self._shares.committed
        )
        self._running = RunningHolds(runner, keys, clock, self.log.incarnation)

    async def admit(self, policy: Policy, hold: Hold) -> Admitted | None:
        """Admit a request, or return None: then Redis has to be asked. Its hold is in the log from then on."""
        if not self.committer.healthy or (states := self._shares.take(policy, hold)) is None:
            return None
        entries = hold.entries
        hold.shared, hold.entries = True, tuple(entry for entry in entries if entry.kind != "c")
        try:
            await self.log.hold(hold)
            await self.log.durable()
        except (JournalFull, OSError):
            self._give_up(hold)
            hold.shared, hold.entries, hold.share = False, entries, ""
            return None
        except asyncio.CancelledError:  # nobody is left to forward it
            self._give_up(hold)
            raise
        self._running.add(hold)
        return Admitted(hold, states)

    def _give_up(self, hold: Hold) -> None:
        self._shares.give_back(hold.request_id)
        self._shares.release(hold)
        self.log.done((hold.request_id,))

    def end(self, settlement: Settlement) -> None:
        """End a request that was admitted here."""
        self._shares.give_back(settlement.hold.request_id)
        if not settlement.forwarded:
            self._shares.release(settlement.hold)
        self._running.discard(settlement.hold.request_id)
        self.committer.add(settlement)

    def release_places(self, hold: Hold) -> None:
        """Give back the places that a request has of the limits of concurrency, before it ends."""
        self._shares.give_back(hold.request_id)

    async def recalled(self, rule: LimitRule, sent: float, deadline: float) -> bool:
        """As `Shares.recall`."""
        return await self._shares.recall(rule, sent, deadline)

    async def run(self) -> None:
        """Renew shares, bring the log to the disk, show what runs, and that the log is there, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._shares.run())
            group.create_task(self._keep_syncing())
            group.create_task(self._keep_showing())
            group.create_task(self._keep_noting())

    async def drain(self) -> None:
        """Wait until everything is in Redis or only in the log, and give back the shares."""
        await self.committer.drain()
        await self._shares.close()

    def close(self) -> None:
        """Close the log; it stays, if only to be found, where a share of this worker does."""
        self.committer.close()
        self.log.close(keep=not self._shares.all_returned)

    async def _keep_showing(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            with suppress(StoreError):
                await self._running.show()

    async def _keep_syncing(self) -> None:
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            with suppress(OSError):
                await self.log.sync()

    async def _keep_noting(self) -> None:
        """Note that the log is there, for less than a share outlives its worker, which is two thirds of `hold_ttl`."""
        while True:
            pause = self._hold_ttl / 6
            try:
                await self._found_logs.note(self.log.incarnation, int(self._hold_ttl * 500))
            except StoreError:
                pause = min(pause, RETRY_SECONDS)
            await asyncio.sleep(pause)
