"""What a worker remembers of the credentials it has seen."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from middlewares.auth.ports import Credentials
from middlewares.auth.records import RecordRef
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.store import StoreError, StoreUnavailable

NEGATIVE_SECONDS = 5.0
"""How long a denial is cached."""
NEGATIVE_ENTRIES = 10_000
RETRY_SECONDS = 1.0
"""How long credentials in their grace do without asking a store that has just failed."""
_MAX_CHANGES = 10_000
_hash = hashlib.blake2b
"""As good as SHA-256 here, for less: most of the price of that one is OpenSSL's preparation for it."""


@dataclass(slots=True)
class _Entry:
    verdict: Verdict
    fresh_until: float
    usable_until: float
    """End of the grace that holds while the store is away."""
    version: int
    """The number of changes that were known when the verdict was asked for, or last compared with them."""


class CachedCredentials:
    """A `CredentialCache` before another one: remembers verdicts, asks once for many, and bridges a lost store.

    Verdicts are kept by a hash of the credential, never under the credential itself. Grants and denials have
    separate space, so that a flood of bad keys pushes out no good one. Times are seconds.
    """

    def __init__(
        self,
        source: Credentials,
        *,
        seconds: float,
        entries: int,
        grace: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._seconds = seconds
        self._grace = grace
        self._clock = clock
        self._wall = wall
        self._grants: OrderedDict[bytes, _Entry] = OrderedDict()
        self._denials: OrderedDict[bytes, _Entry] = OrderedDict()
        self._room = entries
        self._flights: dict[bytes, tuple[int, asyncio.Task[Verdict | StoreError]]] = {}
        self._changes: dict[RecordRef, int] = {}
        self._version = 0
        self._floor = 0
        """Verdicts older than this version may rest on a change that is not listed in `_changes` any more."""
        self._doubt = 0
        """Verdicts older than this version have to be asked for again, and hold while that cannot be done."""
        self._retry_at = 0.0

    def cached(self, credential: bytes) -> Verdict | None:
        """The verdict that needs no I/O and no task."""
        return self._remembered(_hash(credential).digest())

    def _remembered(self, digest: bytes) -> Verdict | None:
        now = self._clock()
        entry = self._grants.get(digest)
        if entry is not None:
            if entry.version == self._version or self._holds(entry):
                if entry.fresh_until > now:
                    self._grants.move_to_end(digest)
                    return entry.verdict
                if now < min(entry.usable_until, self._retry_at):
                    return entry.verdict
            else:
                del self._grants[digest]
        else:
            denied = self._denials.get(digest)
            if denied is not None and self._holds(denied) and denied.fresh_until > now:
                return denied.verdict
        return None

    async def judge(self, credential: bytes) -> Verdict:
        """As `ports.Credentials` says."""
        digest = _hash(credential).digest()
        verdict = self._remembered(digest)
        if verdict is None:
            verdict = await self._ask(digest, credential, self._grants.get(digest))
        return verdict

    def invalidate(self, ref: RecordRef) -> None:
        """The record has changed: no verdict that rests on it is used again, whether the store is there or not."""
        self._version += 1
        self._changes[ref] = self._version
        if len(self._changes) > _MAX_CHANGES:
            self._changes.clear()
            self._floor = self._version

    def invalidate_all(self) -> None:
        """Any record may have changed: every verdict is asked for again, and holds its grace if that fails."""
        self._version += 1
        self._doubt = self._version

    def _holds(self, entry: _Entry) -> bool:
        """Whether no change since touches the entry; when in doubt it is no longer fresh."""
        if entry.version < self._version:
            if entry.version < self._floor:
                return False
            for ref in entry.verdict.rests_on:
                if self._changes.get(ref, 0) > entry.version:
                    return False
            if entry.version < self._doubt:
                entry.fresh_until = 0.0
            entry.version = self._version
        return True

    async def _ask(self, digest: bytes, credential: bytes, known: _Entry | None) -> Verdict:
        version, task = self._flights.get(digest, (-1, None))
        if task is None or version != self._version:  # an answer from before a change is no answer after it
            task = asyncio.create_task(self._look_up(digest, credential, self._version))
            self._flights[digest] = (self._version, task)
        outcome = await asyncio.shield(task)
        if not isinstance(outcome, StoreError):
            return outcome
        now = self._clock()
        self._retry_at = now + RETRY_SECONDS
        if known is not None and known.usable_until > now and self._holds(known):
            return replace(cast("Grant", known.verdict), unconfirmed=True)  # denials have no grace
        raise StoreUnavailable(str(outcome))  # an exception of its own for each of those who wait

    async def _look_up(self, digest: bytes, credential: bytes, version: int) -> Verdict | StoreError:
        """Ask the source and remember its verdict. Errors are returned: nobody may be left to catch them."""
        try:
            verdict = await self._source.judge(credential)
        except StoreError as error:
            return error
        finally:
            if self._flights.get(digest, (-1, None))[0] == version:
                del self._flights[digest]
        self._remember(digest, verdict, version)
        return verdict

    def _remember(self, digest: bytes, verdict: Verdict, version: int) -> None:
        now = self._clock()
        if isinstance(verdict, Denial):
            self._grants.pop(digest, None)
            if verdict.memorable:
                fresh_until = now + NEGATIVE_SECONDS
                _put(self._denials, digest, _Entry(verdict, fresh_until, fresh_until, version), NEGATIVE_ENTRIES)
            return
        self._denials.pop(digest, None)
        # Spread over the last quarter of the time, so that credentials seen together are not asked for together.
        fresh_until = now + self._seconds * (1 - digest[0] / 1024)
        entry = _Entry(verdict, fresh_until, fresh_until + self._grace, version)
        if verdict.expires_at is not None:
            end = now + verdict.expires_at - self._wall()
            entry.fresh_until = min(entry.fresh_until, end)
            entry.usable_until = min(entry.usable_until, end)
        _put(self._grants, digest, entry, self._room)


def _put(shelf: OrderedDict[bytes, _Entry], digest: bytes, entry: _Entry, room: int) -> None:
    shelf[digest] = entry
    shelf.move_to_end(digest)
    if len(shelf) > room:
        shelf.popitem(last=False)
