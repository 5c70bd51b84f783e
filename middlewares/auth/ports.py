"""Protocols of what auth needs from outside; `proxy.identity` implements them."""

from typing import Protocol

from middlewares.auth.records import AppRecord, KeyRecord, UserRecord
from middlewares.auth.verdict import Verdict


class Directory(Protocol):
    """Looks up records. Every method raises `middlewares.store.StoreError` if the store cannot be read."""

    async def key(self, key_id: str) -> KeyRecord | None:
        """Return the key of that id, None if there is none."""
        ...

    async def app(self, client_id: str) -> AppRecord | None:
        """Return the app of that id, None if there is none."""
        ...

    async def token_revoked(self, token_id: str) -> bool:
        """Return True if the token of our own issuer with that `jti` was revoked."""
        ...

    async def user(self, app: str, user_id: str) -> UserRecord | None:
        """Return the user of that id within the app, None if there is none."""
        ...


class CredentialJudge(Protocol):
    """Judges credentials: API keys and JWTs, as bytes, exactly as sent."""

    async def judge(self, credential: bytes) -> Verdict:
        """Return the principal of the credential, or why it is denied.

        Raises `middlewares.store.StoreError` if the store cannot be read.
        """
        ...


class CredentialCache(CredentialJudge, Protocol):
    """A `CredentialJudge` that knows most verdicts without a lookup."""

    def cached(self, credential: bytes) -> Verdict | None:
        """Return the verdict if it is known without a lookup, else None."""
        ...


class Fetch(Protocol):
    """Fetches a small document by https."""

    async def __call__(self, url: str, *, trusted: bool = True) -> bytes:
        """Return the body of a 200 response. Raises `FetchError`, within a few seconds.

        `trusted`: the address stands in the configuration. Any other must not lead into a network that is not public.
        """
        ...


class FetchError(Exception):
    """The document could not be fetched; the message says why."""
