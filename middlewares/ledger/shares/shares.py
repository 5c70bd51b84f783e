"""The shares of one worker: taken for policies that are busy, renewed while they are, given back when they are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from functools import partial

from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import Hold, LimitState
from middlewares.ledger.shares.recall import RECALL_MS, recall
from middlewares.ledger.shares.rule_share import SMALLEST
from middlewares.ledger.shares.share import Share, hold_of, share_id_of, shareable
from middlewares.store import ScriptRunner, StoreError

PERIOD_SECONDS = 0.1
"""How often a share is renewed, by what was admitted since; and so how soon one that was called back is given back."""
LIFE_SECONDS = 1.0
"""How long a share holds that nobody renews, because its worker is dead or Redis cannot be reached."""
BUSY = 2
"""Requests within `PERIOD_SECONDS` from which a policy gets a share."""
IDLE_PERIODS = 10
ROOM = 2
"""A share is so many times what was admitted since the last one, for the next one comes late now and then."""
CALL_SECONDS = 0.5
"""A call that reaches Redis later is of no use any more; the store may give it up before."""
RECALL_PAUSE_SECONDS = 0.02
_UNSHARED_LIMITS = 1_000
"""Most limits of which a worker remembers that nobody has a share."""


class Shares:
    """Admits requests of busy policies without asking Redis."""

    def __init__(self, runner: ScriptRunner, clock: RedisClock, hold_ttl: float, incarnation: str) -> None:
        """`hold_ttl`: seconds for which amounts, and places in use, stay taken although nobody renews them.

        `incarnation`: name of this worker in Redis, that of its write-ahead log.
        """
        self._runner = runner
        self._clock = clock
        self._in_use_ms = int(hold_ttl * 1000)
        self._incarnation = incarnation
        self._number = 0
        self._by_policy: dict[Policy, Share] = {}
        self._used: dict[str, Share] = {}
        """Share by the id of each request that was admitted from one."""
        self._reserving: dict[str, Share] = {}
        """The same of those that have amounts of it, until their end is in Redis."""
        self._unshared: dict[tuple[str, ...], tuple[float, float]] = {}
        """From when until when (`time.monotonic`) nobody has a share of a limit, by its keys: they were called back."""

    def take(self, policy: Policy, hold: Hold) -> tuple[LimitState, ...] | None:
        """Admit a request from the worker's share, and return how the limits stand; None: Redis has to be asked.

        A hold of amounts is told the share from then on.
        """
        share = self._by_policy.get(policy)
        if share is None:
            if not shareable(policy, self._clock.now_ms()):
                return None
            self._number += 1
            share_id = share_id_of(self._incarnation, self._number)
            share = self._by_policy[policy] = Share(share_id, policy, hold_of(share_id, policy, hold))
        share.wanted += 1
        states = share.take(time.monotonic(), hold)
        if states is not None:
            self._used[hold.request_id] = share
            if share.amounts:
                hold.share = share.share_id
                self._reserving[hold.request_id] = share
        return states

    def give_back(self, request_id: str) -> None:
        """Give back the places of a request; nothing where it was not admitted from a share, or has none any more."""
        if share := self._used.pop(request_id, None):
            share.give_back()

    def release(self, hold: Hold) -> None:
        """Give back the amounts of a request of which nothing is counted; nothing where it has none any more."""
        if share := self._reserving.pop(hold.request_id, None):
            share.release(hold)

    def committed(self, hold: Hold) -> None:
        """Take in that the end of a request is in Redis, and so nothing is reserved for it any more."""
        if share := self._reserving.pop(hold.request_id, None):
            share.commit(hold)

    async def run(self) -> None:
        """Renew the shares until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Renew every share that is in use, and forget those of policies that are idle."""
        await gather_bounded(self._renew, list(self._by_policy.values()))

    async def close(self) -> None:
        """Give back what is unused."""
        for share in self._by_policy.values():
            share.wanted = 0
        await self.renew()

    @property
    def all_returned(self) -> bool:
        """True if Redis has nothing noted for this worker any more."""
        return not any(share.expires for share in self._by_policy.values())

    async def recall(self, rule: LimitRule, sent: float, deadline: float) -> bool:
        """Wait until the shares of a limit that has refused somebody are given back; True: ask the limit again.

        `sent` is `time.monotonic` at which the limit was asked, `deadline` that until which there is time.
        """
        now = time.monotonic()
        if (rule.kind in "wc" and rule.limit < SMALLEST) or now >= deadline:
            return False
        since, until = self._unshared.get(rule.keys, (0.0, 0.0))
        if since <= sent and now < until:
            return False
        try:
            others = await recall(self._runner, rule.keys)
        except StoreError:
            return False
        if not others:  # but there may have been one when the limit was asked, which was given back meanwhile
            if len(self._unshared) >= _UNSHARED_LIMITS:
                self._unshared.clear()
            self._unshared[rule.keys] = time.monotonic(), now + RECALL_MS / 1_000
            return True
        own = [share for share in self._by_policy.values() if _covers(share, rule.keys)]
        await gather_bounded(partial(self._ask, wanted=0), own)
        await asyncio.sleep(RECALL_PAUSE_SECONDS)
        return True

    async def _renew(self, share: Share) -> None:
        wanted, share.wanted = share.wanted, 0
        busy = wanted >= BUSY
        share.idle = 0 if busy else share.idle + 1
        if share.idle >= IDLE_PERIODS and not share.in_use and not share.expires:
            self._by_policy.pop(share.policy, None)
        elif busy or (share.expires and (share.has_unused or self._is_due(share))):
            await self._ask(share, wanted * ROOM if busy else 0)

    def _is_due(self, share: Share) -> bool:
        """Return True if what is in use has to be renewed, or that there is none has to be noted."""
        return not share.in_use or share.has_fleeting or time.monotonic() - share.asked > self._in_use_ms / 3_000

    async def _ask(self, share: Share, wanted: int) -> None:
        """Give back what is unused of a share, and take one for so many requests."""
        if share.asking:
            return
        if not share.rules:
            share.expires = time.monotonic() + LIFE_SECONDS if wanted else 0.0
            return
        share.asking = True
        sent = share.asked = time.monotonic()
        latest = self._clock.now_ms() + int(CALL_SECONDS * 1000) if self._clock.known else 0
        call = share.call(sent, int(LIFE_SECONDS * 1000), self._in_use_ms, latest, wanted)
        try:
            reply = await self._runner.run(call)
        except StoreError:  # whatever became of it: what was given back is not used any more
            share.refused(known=False)
            return
        finally:
            share.asking = False
        self._clock.observe(reply[1])
        if reply[0] == 1:
            share.granted(reply)
            share.expires = sent + LIFE_SECONDS
        elif reply[0] < 0:
            share.too_late()
        else:
            share.refused()
            if not wanted and not share.in_use and not share.has_unused:
                share.expires = 0.0


def _covers(share: Share, keys: Collection[str]) -> bool:
    return any(key in keys for each in share.rules for key in each.rule.keys)
