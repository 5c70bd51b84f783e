"""The API keys of users over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Depends

from middlewares.exchange import Refusal
from proxy.api.audit.route import CurrentAct
from proxy.api.caller import Caller, CallerWith
from proxy.api.models import CreatedKey, KeyPage, KeyView, NewKey
from proxy.api.services import BuilderServices
from proxy.api.users import check_active, require_user
from proxy.control.audit.line import AuditTarget
from proxy.identity.token_issuer import USERS_READ, USERS_TOKEN

KeyReader = Annotated[Caller, Depends(CallerWith(USERS_READ))]
KeyMinter = Annotated[Caller, Depends(CallerWith(USERS_TOKEN))]


class UserKeyEndpoints:
    """The routes below `/api/v1/apps/{client_id}/users/{user}/keys`."""

    def __init__(self, services: BuilderServices) -> None:
        self._users = services.users
        self._api_keys = services.api_keys

    async def create(
        self, client_id: str, user: str, caller: KeyMinter, act: CurrentAct, body: NewKey | None = None
    ) -> CreatedKey:
        """Create a key of a user. Its text is in this response and nowhere else."""
        found = await require_user(self._users, caller.app, user, act)
        check_active(found)
        wanted = body or NewKey()
        record, text = await self._api_keys.create(
            caller.app,
            user=found.user_id,
            name=wanted.name,
            expires_at=wanted.expires_at,
            workloads=wanted.workloads,
            models=wanted.models,
            cidrs=wanted.cidrs,
        )
        act.target = AuditTarget("key", record.key_id, caller.app)
        act.detail |= {"user": found.user_id, "name": wanted.name}
        return CreatedKey(**KeyView.of(record).model_dump(), key=text)

    async def list(self, client_id: str, user: str, caller: KeyReader) -> KeyPage:
        """Return the keys of a user."""
        found = await require_user(self._users, caller.app, user)
        records = await self._api_keys.list(caller.app)
        return KeyPage(keys=[KeyView.of(record) for record in records if record.user == found.user_id])

    async def revoke(self, client_id: str, user: str, key_id: str, caller: KeyMinter, act: CurrentAct) -> KeyView:
        """End a key of a user at once."""
        found = await require_user(self._users, caller.app, user, act)
        record = await self._api_keys.get(key_id)
        act.target = AuditTarget("key", "", caller.app)
        act.detail["user"] = found.user_id
        if record is None or (record.app, record.user) != (caller.app, found.user_id):
            act.detail["requested"] = key_id
            raise Refusal(404, "unknown_id", "The user has no such key.")
        act.target = replace(act.target, id=key_id)
        return KeyView.of(await self._api_keys.revoke(key_id))
