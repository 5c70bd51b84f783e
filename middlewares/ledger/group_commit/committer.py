"""Commits the ends of requests in groups: all of a hash tag that ended within some milliseconds in one call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from middlewares.ledger.group_commit.commit_call import commit_call, in_order
from middlewares.ledger.group_commit.write_ahead_log import WriteAheadLog
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.settler import SETTLE_SECONDS, SETTLED, Settler
from middlewares.store import ScriptRunner, StoreError, StoreRejected

GROUP_SECONDS = 0.02
"""How long the first of a group waits for others."""
GROUP_SIZE = 128
"""Most settlements of one call: Redis serves nobody else while it runs."""
RETRY_SECONDS = 0.25


class GroupCommitter:
    """Every settlement that was added is in the write-ahead log until it is in Redis."""

    def __init__(
        self,
        runner: ScriptRunner,
        keys: RedisKeys,
        log: WriteAheadLog,
        settler: Settler,
        *,
        on_written: Callable[[Settlement], None],
        on_committed: Callable[[Hold], None],
    ) -> None:
        """`settler` is for what a group cannot tell; `on_written` is called with each that is in Redis from now on.

        `on_committed` is called with the hold of each of which nothing is left to do, written or refused.
        """
        self._runner = runner
        self._keys = keys
        self._log = log
        self._settler = settler
        self._on_written = on_written
        self._on_committed = on_committed
        self._numbers = count(1)
        self._queues: dict[str, deque[Settlement]] = {}
        self._busy: set[str] = set()
        """Tags of which a group is waiting to fill, or on its way."""
        self._trouble: set[asyncio.Task[None]] = set()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def healthy(self) -> bool:
        """False while Redis does not take what was added."""
        return not self._trouble

    def add(self, settlement: Settlement) -> None:
        """Write a settlement to the log, and to Redis soon."""
        if not settlement.forwarded:  # nothing is held in Redis, and nothing is counted
            self._log.done((settlement.hold.request_id,))
            return
        settlement.attempted_ms = settlement.time_ms  # whoever reads the log cannot know whether it was
        self._log.end(settlement)
        tag = self._keys.tag(settlement.hold.app)
        queue = self._queues.setdefault(tag, deque())
        queue.append(settlement)
        if tag not in self._busy:
            self._busy.add(tag)
            self._idle.clear()
            asyncio.get_running_loop().call_later(GROUP_SECONDS, self._commit, tag)

    async def drain(self) -> None:
        """Wait until everything is in Redis; at most until Redis fails, for the log has it then."""
        while not self._idle.is_set() and self.healthy:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), RETRY_SECONDS)

    def close(self) -> None:
        """Stop trying; the log keeps what is left, for a sibling."""
        self._closed = True
        for task in self._trouble:
            task.cancel()

    def _commit(self, tag: str) -> None:
        """Send the next group of a tag."""
        if self._closed:
            return
        queue = self._queues[tag]
        group = [queue.popleft() for _ in range(min(GROUP_SIZE, len(queue)))]
        if not group:
            self._busy.discard(tag)
            if not self._busy:
                self._idle.set()
            return
        self._send(tag, group)

    def _send(self, tag: str, group: list[Settlement]) -> None:
        number, group = next(self._numbers), in_order(group)
        call = commit_call(self._keys, tag, self._log.incarnation, number, group)
        reply = self._runner.run(call, deadline=SETTLE_SECONDS)
        reply.add_done_callback(partial(self._replied, tag, number, group))

    def _replied(self, tag: str, number: int, group: list[Settlement], reply: asyncio.Future[list[Any]]) -> None:
        if reply.cancelled() or self._closed:
            return
        error = reply.exception()
        if error is None and reply.result():
            _, *replies = reply.result()
            self._finish(group, [None] * (len(group) - len(replies)) + [_refusal(each) for each in replies])
            self._commit(tag)
        elif isinstance(error, StoreRejected) and len(group) == 1:
            self._finish(group, [error])
            self._commit(tag)
        else:
            task = asyncio.create_task(self._resolve(tag, number, group, error))
            self._trouble.add(task)
            task.add_done_callback(self._trouble.discard)

    def _finish(self, group: Sequence[Settlement], refusals: Sequence[StoreRejected | None]) -> None:
        """Take in that a group is written, but for what Redis refuses."""
        for settlement, refusal in zip(group, refusals, strict=True):
            if refusal is None:
                self._on_written(settlement)
            else:
                self._settler.reject(settlement, refusal)
            self._on_committed(settlement.hold)
        self._log.done([settlement.hold.request_id for settlement in group])

    async def _resolve(self, tag: str, number: int, group: list[Settlement], error: BaseException | None) -> None:
        """Find out what became of a group, and go on, as soon as Redis serves again."""
        if isinstance(error, StoreRejected):  # of one that spoils it for the others, so each is a group of its own
            for settlement in group:
                await _until_done(partial(self._write_alone, settlement))
        else:
            await _until_done(lambda: self._again(tag, number, group))
        self._commit(tag)

    async def _again(self, tag: str, number: int, group: list[Settlement]) -> None:
        """Put a group back that was not committed, so that it is sent again under another number."""
        if await self._settler.fences.committed(tag, self._log.incarnation, number):
            await self._settler.settle_again(group)  # some may have been refused, each by itself
            self._finish(group, [None] * len(group))
        else:
            self._queues[tag].extendleft(reversed(group))

    async def _write_alone(self, settlement: Settlement) -> None:
        """Write one settlement without a group, by the way of those whose fate is unknown."""
        await self._settler.settle_again([settlement])
        self._finish([settlement], [None])


def _refusal(reply: Any) -> StoreRejected | None:
    """Return why a settlement of a group is refused; None: it is written."""
    return None if reply == SETTLED else StoreRejected(bytes(reply).decode(errors="replace"))


async def _until_done(work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` again until Redis serves it."""
    while True:
        try:
            return await work()
        except StoreError:
            await asyncio.sleep(RETRY_SECONDS)
