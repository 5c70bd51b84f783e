"""The service for apps, the customers: create, list, suspend, and check a client secret."""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from middlewares.auth.keys import hash_secret, matches, mint_client_secret, new_id, parse_client_secret
from middlewares.auth.records import AppIssuer, AppRecord, RecordRef
from proxy.control.records import APPS, Client, Records, indexed

_CLIENT_ID = re.compile(r"app_[a-z2-7]{16}")
_SEARCHED = 500
"""Apps that are read at once in a search."""


def new_client_id() -> str:
    """Return an id that no app has."""
    return f"app_{new_id()}"


def is_client_id(text: str) -> bool:
    """Return True if `text` may be the id of an app."""
    return _CLIENT_ID.fullmatch(text) is not None


class Apps:
    """Makes, finds and changes apps."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, AppRecord)
        self._no_hash = hash_secret(secrets.token_bytes(32), pepper)
        """What the secret of an unknown app is compared with, so that its refusal takes no less time."""

    async def create(self, name: str, plan: str, *, tier: str | None = None) -> tuple[AppRecord, str]:
        """Create an app. Return it and its client secret, which is not stored. The caller checks the plan."""
        app, secret = self._new(new_client_id(), name, plan, tier)
        await self._add(app)
        return app, secret

    async def create_due(self, client_id: str, name: str, plan: str) -> str | None:
        """Create the app of a client id that was chosen before. Return its secret; None if it is there already."""
        app, secret = self._new(client_id, name, plan, None)
        return secret if await self._add(app) else None

    def _new(self, client_id: str, name: str, plan: str, tier: str | None) -> tuple[AppRecord, str]:
        text, secret = mint_client_secret()
        secret_hash = hash_secret(secret, self._pepper)
        return AppRecord(client_id, name, plan, datetime.now(UTC), secret_hash=secret_hash, tier=tier), text

    async def _add(self, app: AppRecord) -> bool:
        await self._client.sadd(APPS, app.client_id)
        return await self._records.add(app)

    async def get(self, client_id: str) -> AppRecord | None:
        return await self._records.get(RecordRef("app", client_id))

    async def require(self, client_id: str) -> AppRecord:
        """Return the app. Raises `UnknownRecord`."""
        return await self._records.require(RecordRef("app", client_id))

    async def several(self, client_ids: Iterable[str]) -> list[AppRecord]:
        """Return those of the apps that exist, oldest first."""
        return await self._records.several([RecordRef("app", client_id) for client_id in client_ids])

    async def names(self, client_ids: Iterable[str]) -> dict[str, str]:
        """Return the names of those of the apps that exist, by client id."""
        return {app.client_id: app.name for app in await self.several(client_ids)}

    async def authenticate(self, client_id: str, client_secret: str) -> AppRecord | None:
        """Return the app if this is its secret, suspended or not; None if it is unknown or the secret is wrong."""
        secret = parse_client_secret(client_secret.encode())
        if secret is None or not is_client_id(client_id):
            return None
        app = await self.get(client_id)
        good = matches(secret, app.secret_hash if app else self._no_hash, self._pepper)
        return app if good else None

    async def list(self) -> list[AppRecord]:
        """Return all apps, oldest first."""
        return await self.several(await indexed(self._client, APPS))

    async def page(self, after: str, limit: int) -> tuple[Sequence[AppRecord], str | None]:
        """Return at most `limit` apps by client id, from the one behind `after`, and where the next page begins.

        None: it is the last page.
        """
        return await self._records.page(
            await indexed(self._client, APPS), lambda client_id: RecordRef("app", client_id), after, limit
        )

    async def search(self, text: str, after: str, limit: int) -> tuple[Sequence[AppRecord], str | None]:
        """Return such a page of the apps whose name or id has `text` in it, in whatever case."""
        wanted, found = text.casefold(), list[AppRecord]()
        following: str | None = after
        while following is not None:
            page, following = await self.page(following, _SEARCHED)
            for app in page:
                if wanted in app.name.casefold() or wanted in app.client_id:
                    if len(found) == limit:
                        return found, found[-1].client_id
                    found.append(app)
        return found, None

    async def change(self, client_id: str, *, plan: str | None = None, tier: str | None = None) -> AppRecord:
        """Change plan, tier or both, in every worker at once; None: it stays; an empty tier: that of the plan.

        The caller checks them. Raises `UnknownRecord`.
        """
        return await self._records.change(
            RecordRef("app", client_id),
            lambda app: replace(
                app, plan=app.plan if plan is None else plan, tier=app.tier if tier is None else tier or None
            ),
        )

    async def rotate_secret(self, client_id: str) -> tuple[AppRecord, str]:
        """Replace the client secret, at once. Return the app and the new text, which is not stored.

        Raises `UnknownRecord`.
        """
        text, secret = mint_client_secret()
        new = hash_secret(secret, self._pepper)
        app = await self._records.change(RecordRef("app", client_id), lambda app: replace(app, secret_hash=new))
        return app, text

    async def set_status(self, client_id: str, status: Literal["active", "suspended"]) -> AppRecord:
        """Suspend or resume an app. Raises `UnknownRecord`."""
        return await self._records.change(RecordRef("app", client_id), lambda app: replace(app, status=status))

    async def set_issuer(self, client_id: str, issuer: AppIssuer | None) -> AppRecord:
        """Register the issuer whose JWTs the app exchanges; None: none any more. Raises `UnknownRecord`."""
        return await self._records.change(RecordRef("app", client_id), lambda app: replace(app, issuer=issuer))
