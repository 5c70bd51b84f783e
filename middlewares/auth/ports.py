"""What auth asks of the rest of the house; `proxy.control` implements it."""

from typing import Protocol

from middlewares.auth.records import AppRecord, KeyRecord, UserRecord
from middlewares.auth.verdict import Verdict


class Directory(Protocol):
    """Looks records up. Every method raises `middlewares.store.StoreError` when the store cannot answer."""

    async def key(self, key_id: str) -> KeyRecord | None:
        """The key of that id, None if there is none."""
        ...

    async def app(self, client_id: str) -> AppRecord | None:
        """The app of that id, None if there is none."""
        ...

    async def user(self, app: str, user_id: str) -> UserRecord | None:
        """The user of that id within the app, None if there is none."""
        ...


class Credentials(Protocol):
    """Judges credentials: API keys and JWTs, as bytes, exactly as presented."""

    async def judge(self, credential: bytes) -> Verdict:
        """Who the credential speaks for, or why it speaks for nobody.

        Raises `middlewares.store.StoreError` when that cannot be found out now.
        """
        ...


class CredentialCache(Credentials, Protocol):
    """A `Credentials` that often needs to ask nobody."""

    def cached(self, credential: bytes) -> Verdict | None:
        """What `judge` would say without asking; None: it has to ask."""
        ...


class Fetch(Protocol):
    """Gets a small document by https."""

    async def __call__(self, url: str) -> bytes:
        """The body of a 200 answer. Raises `FetchError`, within a few seconds."""
        ...


class FetchError(Exception):
    """The document could not be had; the message says why."""
