"""The service for end users of apps: create, find, list, change."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, cast

from middlewares.auth.keys import new_id
from middlewares.auth.records import AppRecord, RecordRef, UserRecord
from middlewares.exchange import Refusal
from proxy.control.records import Client, Records, users_of

_USER_ID = re.compile(r"usr_[a-z2-7]{16}")


class NameTaken(Refusal):
    """The external id is the user id of another user of the app, who is found first by it."""

    def __init__(self) -> None:
        detail = "The external id is the user id of a user of this app; choose another."
        super().__init__(400, "invalid_parameter", detail)


class Users:
    """Makes and finds users, always within one app."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._records = Records(client, UserRecord)
        self._apps = Records(client, AppRecord)

    async def create(
        self, app: str, external_id: str, *, email: str | None = None, of_issuer: bool = False
    ) -> tuple[UserRecord, bool]:
        """Return the user of that external id, and True if it was created.

        Raises `UnknownRecord` for the app, and `NameTaken`: who may choose a name must not choose whom it means. With
        `of_issuer` the app's issuer names its subject so, and nobody has chosen.
        """
        await self._apps.require(RecordRef("app", app))
        if not of_issuer and _USER_ID.fullmatch(external_id) and await self.get(app, external_id) is not None:
            raise NameTaken
        user_id: bytes | None = None
        while user_id is None:  # an erasure may remove the entry in between
            await self._client.hsetnx(users_of(app), external_id, f"usr_{new_id()}")
            user_id = cast("bytes | None", await self._client.hget(users_of(app), external_id))
        user = UserRecord(user_id.decode(), app, external_id, datetime.now(UTC), email)
        if await self._records.add(user):
            return user, True
        return await self._records.get(user.ref) or user, False

    async def get(self, app: str, user_id: str) -> UserRecord | None:
        return await self._records.get(RecordRef("user", f"{app}/{user_id}"))

    async def find(self, app: str, external_id: str) -> UserRecord | None:
        """Return the user of that external id, None if there is none."""
        user_id = cast("bytes | None", await self._client.hget(users_of(app), external_id))
        return None if user_id is None else await self.get(app, user_id.decode())

    async def several(self, app: str, user_ids: Iterable[str]) -> list[UserRecord]:
        """Return those of an app's users that exist, oldest first."""
        return await self._records.several([RecordRef("user", f"{app}/{user_id}") for user_id in user_ids])

    async def suspended(self, app: str, user_ids: Iterable[str]) -> set[str]:
        """Return the ids of those of an app's users that are suspended."""
        return {each.user_id for each in await self.several(app, user_ids) if each.status != "active"}

    async def resolve(self, app: str, name: str) -> UserRecord | None:
        """Return the user of that user id, else of that external id, None if there is none."""
        return await self.get(app, name) or await self.find(app, name)

    async def change(
        self,
        user: UserRecord,
        *,
        email: str | None = None,
        status: Literal["active", "suspended"] | None = None,
    ) -> UserRecord:
        """Change what is given, in every worker at once. Raises `UnknownRecord`."""
        return await self._records.change(
            user.ref,
            lambda record: replace(
                record,
                email=record.email if email is None else email,
                status=record.status if status is None else status,
            ),
        )

    async def page(self, app: str, after: str, limit: int) -> tuple[Sequence[UserRecord], str | None]:
        """Return at most `limit` users by user id, from the one behind `after`, and where the next page begins.

        None: it is the last page. Raises `UnknownRecord` for a missing app.
        """
        await self._apps.require(RecordRef("app", app))
        ids = [user_id.decode() async for _, user_id in self._client.hscan_iter(users_of(app), count=1_000)]
        return await self._records.page(ids, lambda user_id: RecordRef("user", f"{app}/{user_id}"), after, limit)

    async def list(self, app: str) -> list[UserRecord]:
        """Return all users of an app, oldest first. Raises `UnknownRecord` for a missing app."""
        await self._apps.require(RecordRef("app", app))
        ids = [user_id.decode() async for _, user_id in self._client.hscan_iter(users_of(app), count=1_000)]
        return await self._records.several([RecordRef("user", f"{app}/{user_id}") for user_id in dict.fromkeys(ids)])
