"""Verifies the JWTs that apps exchange: each by the key set of the issuer that was registered for the app."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import get_args

from config.issuers import Algorithm, Issuer
from middlewares.auth.compact import TokenRefused, peek
from middlewares.auth.jwks import KeySet, loader
from middlewares.auth.jwt import verified_claims
from middlewares.auth.ports import Fetch
from middlewares.auth.records import AppIssuer

_FIRST_SECONDS = 2.0
"""Longest wait for a key set that was never loaded; one that was is not waited for."""
LEEWAY_SECONDS = 30
"""Tolerated difference of the issuer's clock."""
_MOST_SETS = 1_000
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class ForeignSubject:
    """The user that a token of an app's own issuer names."""

    external_id: str
    token_id: str | None
    """Its `jti`."""
    expires_at: float
    """Unix seconds, without leeway."""


@dataclass(slots=True)
class _Entry:
    keys: KeySet
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the key set was loaded, or could not be."""
    used_at: float = 0.0
    """Monotonic seconds."""
    task: asyncio.Task[None] | None = None


class AppIssuers:
    """The issuers that apps registered. A key set is loaded at its first use, and kept fresh while it is used.

    Apps with the same issuer share its keys, and its cool-down.
    """

    def __init__(self, fetch: Fetch, *, refresh_seconds: float = 300, cool_down_seconds: float = 15) -> None:
        self._fetch = fetch
        self._refresh_seconds = refresh_seconds
        self._cool_down_seconds = cool_down_seconds
        self._entries: OrderedDict[tuple[str, str | None], _Entry] = OrderedDict()

    async def verify(self, registered: AppIssuer, token: bytes) -> ForeignSubject:
        """Return whom the token names. Raises `TokenRefused`, 503 where there is no key set, or only an old one."""
        unverified = peek(token)
        if unverified.claims.get("iss") != registered.issuer:
            raise TokenRefused("The token is not of the issuer that is registered for the app.")
        issuer = self._trusted(registered)
        claims = verified_claims(token, unverified, issuer, await self._key_set(issuer))
        subject, token_id = claims["sub"], claims.get("jti")
        if not 1 <= len(subject) <= _LONGEST_NAME or not subject.isprintable():
            raise TokenRefused(f"The token's sub has not 1 to {_LONGEST_NAME} characters without control characters.")
        return ForeignSubject(subject, token_id, float(claims["exp"]))

    async def stop(self) -> None:
        """Load nothing any more."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _key_set(self, issuer: Issuer) -> KeySet:
        name = (issuer.issuer, issuer.jwks_url)
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(KeySet(issuer, loader(issuer, self._fetch, trusted=False)))
            entry.task = asyncio.create_task(self._keep(name, entry))
            if len(self._entries) > _MOST_SETS:
                _, oldest = self._entries.popitem(last=False)
                if oldest.task is not None:
                    oldest.task.cancel()
        self._entries.move_to_end(name)
        entry.used_at = time.monotonic()
        if not entry.tried.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    await entry.tried.wait()
        return entry.keys

    async def _keep(self, name: tuple[str, str | None], entry: _Entry) -> None:
        """Load the key set and keep it fresh until nobody has used it for a whole interval; then forget it."""
        try:
            await entry.keys.refresh()
            entry.tried.set()
            await entry.keys.keep_fresh(lambda: time.monotonic() - entry.used_at < self._refresh_seconds)
        finally:
            if self._entries.get(name) is entry:
                del self._entries[name]

    def _trusted(self, registered: AppIssuer) -> Issuer:
        """Return the issuer as verifiers know issuers; a key says itself which algorithm it is for."""
        return Issuer(
            issuer=registered.issuer,
            audience=registered.audience,
            algorithms=get_args(Algorithm),
            jwks_url=registered.jwks_url,
            refresh_seconds=self._refresh_seconds,
            cool_down_seconds=self._cool_down_seconds,
            leeway_seconds=LEEWAY_SECONDS,
            app_claim="sub",
        )
