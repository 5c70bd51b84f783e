"""API keys over HTTP: those of an app, and those of its users."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Annotated, TypeVar

from fastapi import Depends
from starlette.responses import Response

from middlewares.auth.records import KeyRecord
from middlewares.exchange import Refusal
from proxy.api.audit.route import CurrentAct
from proxy.api.caller import Caller, CallerWith
from proxy.api.json_api import long_response
from proxy.api.keys.models import ChangedKey, CreatedKey, KeyPage, KeyView, NewKey
from proxy.api.keys.rotation import KeyRotation, ReplacingKey
from proxy.api.services import BuilderServices
from proxy.api.users import check_active, require_user, unknown_name
from proxy.control.api_keys import KeyEnded
from proxy.control.audit.line import AuditTarget
from proxy.control.audit.log import Act
from proxy.control.key_changes import KeyChange, UnusableMember
from proxy.identity.token_issuer import ADMIN, USERS_READ, USERS_TOKEN

KeyReader = Annotated[Caller, Depends(CallerWith(USERS_READ))]
KeyMinter = Annotated[Caller, Depends(CallerWith(USERS_TOKEN))]
AppKeyMinter = Annotated[Caller, Depends(CallerWith(ADMIN))]
Result = TypeVar("Result")


class OwnedKeyEndpoints:
    """What the routes for keys have in common; a user of None is the app itself, with the keys of all."""

    def __init__(self, services: BuilderServices) -> None:
        self._users = services.users
        self._api_keys = services.api_keys
        self._use = services.key_use
        self._days = services.rotate_after_days

    async def _create(self, app: str, user: str | None, act: Act, body: NewKey | None) -> CreatedKey:
        wanted = body or NewKey()
        members = _usable(wanted)
        act.target = AuditTarget("key", "", app)
        act.detail |= {"user": user, "name": wanted.name}
        record, text = await _taken(self._api_keys.create(app, user=user, **members))
        act.target = replace(act.target, id=record.key_id)
        return CreatedKey(**KeyView.of(record, self._days).model_dump(), key=text)

    async def _page(self, app: str, user: str | None) -> Response:
        records, used = await self._api_keys.list(app), await self._use.of(app)

        def compose() -> KeyPage:
            owned = (record for record in records if user is None or record.user == user)
            return KeyPage(keys=[KeyView.of(record, self._days, used) for record in owned])

        return await long_response(compose)

    async def _change(self, app: str, user: str | None, key_id: str, act: Act, body: ChangedKey) -> KeyView:
        await self._require(app, user, key_id, act)
        members = _usable(body)
        act.detail["changed"] = ", ".join(sorted(members))
        act.detail |= {name: None if value is None else str(value) for name, value in members.get("limits", {}).items()}
        if "expires_at" in members:
            act.detail["expires_at"] = str(members["expires_at"] or "never")
        return KeyView.of(await _taken(self._api_keys.change(key_id, **members)), self._days)

    async def _rotate(
        self, app: str, user: str | None, key_id: str, act: Act, body: KeyRotation | None
    ) -> ReplacingKey:
        await self._require(app, user, key_id, act)
        wanted = body or KeyRotation()
        old, new, text = await _taken(self._api_keys.rotate(key_id, wanted.overlap, expires_at=wanted.expires_at))
        act.detail |= {"new_key": new.key_id, "overlap_seconds": wanted.overlap_seconds}
        return ReplacingKey.after(old, new, text, self._days)

    async def _revoke(self, app: str, user: str | None, key_id: str, act: Act) -> KeyView:
        await self._require(app, user, key_id, act)
        return KeyView.of(await self._api_keys.revoke(key_id), self._days)

    async def _require(self, app: str, user: str | None, key_id: str, act: Act) -> KeyRecord:
        """Return a key of the app, and of the user if there is one. Raises `Refusal` (404)."""
        record = await self._api_keys.get(key_id)
        act.target = AuditTarget("key", "", app)
        if user is not None:
            act.detail["user"] = user
        if record is None or record.app != app or (user is not None and record.user != user):
            act.detail["requested"] = unknown_name(key_id)
            raise Refusal(404, "unknown_id", f"The {'app' if user is None else 'user'} has no such key.")
        act.target = replace(act.target, id=key_id)
        return record


class UserKeyEndpoints(OwnedKeyEndpoints):
    """The routes below `/api/v1/apps/{client_id}/users/{user}/keys`."""

    async def create(
        self, client_id: str, user: str, caller: KeyMinter, act: CurrentAct, body: NewKey | None = None
    ) -> CreatedKey:
        """Create a key of a user. Its text is in this response and nowhere else."""
        found = await require_user(self._users, caller.app, user, act)
        check_active(found)
        return await self._create(caller.app, found.user_id, act, body)

    async def list(self, client_id: str, user: str, caller: KeyReader) -> Response:
        """Return the keys of a user."""
        found = await require_user(self._users, caller.app, user)
        return await self._page(caller.app, found.user_id)

    async def change(
        self, client_id: str, user: str, key_id: str, caller: KeyMinter, act: CurrentAct, *, body: ChangedKey
    ) -> KeyView:
        """Change a key of a user, in every worker at once."""
        found = await require_user(self._users, caller.app, user, act)
        return await self._change(caller.app, found.user_id, key_id, act, body)

    async def rotate(
        self,
        client_id: str,
        user: str,
        key_id: str,
        caller: KeyMinter,
        act: CurrentAct,
        *,
        body: KeyRotation | None = None,
    ) -> ReplacingKey:
        """Replace a key of a user by a new one, whose text is in this response and nowhere else."""
        found = await require_user(self._users, caller.app, user, act)
        check_active(found)
        return await self._rotate(caller.app, found.user_id, key_id, act, body)

    async def revoke(self, client_id: str, user: str, key_id: str, caller: KeyMinter, act: CurrentAct) -> KeyView:
        """End a key of a user at once."""
        found = await require_user(self._users, caller.app, user, act)
        return await self._revoke(caller.app, found.user_id, key_id, act)


class AppKeyEndpoints(OwnedKeyEndpoints):
    """The routes below `/api/v1/apps/{client_id}/keys`, for the app's own keys and those of all its users."""

    async def create(
        self, client_id: str, caller: AppKeyMinter, act: CurrentAct, body: NewKey | None = None
    ) -> CreatedKey:
        """Create a key of the app itself. Its text is in this response and nowhere else."""
        return await self._create(caller.app, None, act, body)

    async def list(self, client_id: str, caller: KeyReader) -> Response:
        """Return all keys of the app and of its users."""
        return await self._page(caller.app, None)

    async def change(
        self, client_id: str, key_id: str, caller: AppKeyMinter, act: CurrentAct, body: ChangedKey
    ) -> KeyView:
        """Change a key of the app or of one of its users, in every worker at once."""
        return await self._change(caller.app, None, key_id, act, body)

    async def rotate(
        self, client_id: str, key_id: str, caller: AppKeyMinter, act: CurrentAct, body: KeyRotation | None = None
    ) -> ReplacingKey:
        """Replace a key of the app or of one of its users by a new one, whose text is in this response alone."""
        return await self._rotate(caller.app, None, key_id, act, body)

    async def revoke(self, client_id: str, key_id: str, caller: AppKeyMinter, act: CurrentAct) -> KeyView:
        """End a key of the app or of one of its users at once."""
        return await self._revoke(caller.app, None, key_id, act)


def _usable(body: ChangedKey) -> KeyChange:
    try:
        return body.change
    except UnusableMember as error:
        raise _refusal(error) from None


async def _taken(work: Awaitable[Result]) -> Result:
    """Return what the service does. Raises `Refusal`: 400 for members that cannot be meant, 409 for an ended key."""
    try:
        return await work
    except UnusableMember as error:
        raise _refusal(error) from None
    except KeyEnded as error:
        raise Refusal(409, "key_ended", f"{error}.") from None


def _refusal(error: UnusableMember) -> Refusal:
    return Refusal(400, "invalid_parameter", f"{error}.")
