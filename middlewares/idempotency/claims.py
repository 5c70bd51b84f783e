"""The claims to idempotency keys in Redis: who has a key, and what is kept for repetitions of its request."""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from typing import Any, NamedTuple

from config.idempotency import IdempotencySettings
from middlewares.exchange import Exchange
from middlewares.ledger.model import ENTRY_SUFFIX, HoldEntry
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import Call, Script, ScriptRunner, StoreUnavailable

ADMISSION_MS = 30_000
"""How long a request may take to be admitted; after that, its key is free unless it has a hold."""
OPEN_MS = 86_400_000
"""How long the claim of a request that is in flight is kept: longer than any request lasts."""
KEEP_SECONDS = 2.0
"""How long Redis may take to keep a response, for which no client waits, and to give it again."""

_CLAIMED, _IN_FLIGHT = 1, 0
"""How a reply of `lua/claim.lua` begins. 2: the work is done."""


def _load(name: str) -> Script:
    source = (files(__package__) / "lua" / f"{name}.lua").read_bytes()
    return Script(f"idempotency-{name}", source, writes=name != "read")


CLAIM, READ, KEEP, RELEASE = (_load(name) for name in ("claim", "read", "keep", "release"))


class InFlight(NamedTuple):
    """Another request has the key, and has not ended."""

    age_seconds: float


class Done(NamedTuple):
    """The work was done by another request."""

    request_id: str
    fingerprint: bytes
    """As of `RequestFingerprint.value`; empty: it is not known."""
    kept: bool
    """True if its response is kept."""
    claim: HoldEntry


class Claims:
    """All claims of all apps, as one worker sees them."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, settings: IdempotencySettings, deadline: float) -> None:
        """`deadline`: seconds that a request waits for its claim."""
        self._runner = runner
        self._keys = keys
        self._deadline = deadline
        self._life_ms = int(settings.seconds * 1000)
        self._most_bytes = settings.bytes_per_app
        self._most_keys = settings.keys_per_app
        self._writing: set[asyncio.Future[Any]] = set()

    async def claim(self, exchange: Exchange, key: bytes) -> HoldEntry | InFlight | Done:
        """Claim a key for a request of a known principal, or return what became of the request that has it.

        The claim is for the hold of the request, or for `release`. Raises `StoreError`.
        """
        if exchange.store_lost:
            raise StoreUnavailable("Redis did not reply when the credential was looked up")
        claim = self._entry(exchange, key)
        call = Call(
            CLAIM,
            (claim.keys[0], self._holds(exchange)),
            (exchange.request_id, ADMISSION_MS, OPEN_MS, ENTRY_SUFFIX),
        )
        reply = await self._runner.run(call, deadline=self._deadline)
        if reply[0] == _CLAIMED:
            return claim
        if reply[0] == _IN_FLIGHT:
            return InFlight(reply[1] / 1000)
        return Done(reply[1].decode(), reply[2], bool(reply[3]), claim)

    async def response_of(self, done: Done) -> bytes:
        """Return the encoded `StoredResponse` of work that is done; empty: it was dropped. Raises `StoreError`."""
        call = Call(READ, (done.claim.keys[0],), (done.request_id,))
        response: bytes = await self._runner.run(call, deadline=KEEP_SECONDS)
        return response

    def keep(self, exchange: Exchange, claim: HoldEntry, fingerprint: bytes, response: bytes) -> None:
        """Keep for repetitions what a request asked for, and its encoded response, if that is not empty.

        Returns at once. Nothing is kept of a request whose key is free again.
        """
        app = _app(exchange)
        keys = claim.keys[0], self._keys.idempotent_responses(app), self._keys.idempotent_bytes(app)
        args = exchange.request_id, fingerprint, response, self._most_bytes, self._life_ms
        self._begin(Call(KEEP, keys, args))

    def release(self, exchange: Exchange, claim: HoldEntry) -> None:
        """Free the key of a request that was not admitted. Returns at once. Without Redis it is free later."""
        self._begin(Call(RELEASE, (claim.keys[0], self._holds(exchange)), (exchange.request_id,)))

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _begin(self, call: Call) -> None:
        reply = self._runner.run(call, deadline=KEEP_SECONDS)
        self._writing.add(reply)
        reply.add_done_callback(self._replied)

    def _replied(self, reply: asyncio.Future[Any]) -> None:
        """Forget a call that has ended; the store reports its own loss."""
        self._writing.discard(reply)
        reply.exception()

    def _entry(self, exchange: Exchange, key: bytes) -> HoldEntry:
        """Return the claim to a key. It is the caller's own, with the keys that theirs was rotated from and to."""
        principal, route = exchange.principal, exchange.route
        assert principal is not None and route is not None  # noqa: S101, PT018 - auth and edge stand before this stage
        family = principal.key_terms.family if principal.key_terms else principal.key
        bound_to = "\0".join((principal.app, principal.user or "", family or "", route.name))
        digest = hashlib.sha256(bound_to.encode() + b"\0" + key).hexdigest()
        keys = self._keys.idempotency(principal.app, digest), self._keys.idempotent_requests(principal.app)
        return HoldEntry(kind="i", keys=keys, held=str(self._most_keys), per=str(self._life_ms))

    def _holds(self, exchange: Exchange) -> str:
        return self._keys.shared(self._keys.tag(_app(exchange))).holds


def _app(exchange: Exchange) -> str:
    assert exchange.principal is not None  # noqa: S101 - auth stands before this stage
    return exchange.principal.app
