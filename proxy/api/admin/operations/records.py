"""Operations on apps, keys and users, on an open store."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from middlewares.auth.records import KeyRecord, RecordRef, UserRecord
from proxy.api.admin.documents import (
    AppChange,
    AppDocument,
    AppIdentityProvider,
    AppPage,
    AppSecret,
    AppStatus,
    FoundUser,
    KeyDocument,
    KeyList,
    KeyText,
    NewApp,
    NewAppKey,
    RotatedKey,
    UserDocument,
    UserList,
)
from proxy.api.admin.operations.acts import Acts, settle_target
from proxy.api.admin.operations.errors import ActRefused, invalid
from proxy.api.admin.operations.plans import check_plan
from proxy.api.admin.operations.ports import AppOperations, KeyOperations, UserOperations
from proxy.api.admin.operations.resources import Resources
from proxy.api.keys.models import ChangedKey
from proxy.api.keys.rotation import KeyRotation
from proxy.api.models import NewUser, UserStatus
from proxy.control.api_keys import KeyEnded
from proxy.control.key_changes import UnusableMember
from proxy.control.key_use import KeyUse
from proxy.control.records import UnknownRecord


class DirectApps(AppOperations):
    """Apps, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._apps = resources.apps
        self._settings = resources.settings
        self._acts = acts

    async def create(self, new: NewApp) -> AppSecret:
        """Create an app."""
        async with self._acts.act("app.create", "app") as act:
            check_plan(self._settings, new.plan, new.tier)
            record, secret = await self._apps.create(new.name, new.plan, tier=new.tier)
            settle_target(act, record.client_id, record.client_id)
            act.detail |= {"name": new.name, "plan": new.plan, "tier": new.tier}
        return AppSecret(**AppDocument.of(record).model_dump(), client_secret=secret)

    async def page(self, after: str, limit: int) -> AppPage:
        """Return apps by client id."""
        found, following = await self._apps.page(after, limit)
        return AppPage(items=[AppDocument.of(each) for each in found], next=following)

    async def get(self, client_id: str) -> AppDocument:
        """Return an app."""
        return AppDocument.of(await self._apps.require(client_id))

    async def change(self, client_id: str, change: AppChange) -> AppDocument:
        """Change plan, tier or both."""
        async with self._acts.act("app.change", "app", client_id, client_id) as act:
            check_plan(self._settings, change.plan, change.tier)
            act.detail |= {"plan": change.plan, "tier": change.tier}
            return AppDocument.of(await self._apps.change(client_id, plan=change.plan, tier=change.tier))

    async def set_status(self, client_id: str, status: AppStatus) -> AppDocument:
        """Suspend an app, or let it work again."""
        action = "app.suspend" if status == "suspended" else "app.resume"
        async with self._acts.act(action, "app", client_id, client_id):
            return AppDocument.of(await self._apps.set_status(client_id, status))

    async def rotate_secret(self, client_id: str) -> AppSecret:
        """Replace the client secret at once."""
        async with self._acts.act("app.rotate_secret", "app", client_id, client_id):
            record, secret = await self._apps.rotate_secret(client_id)
        return AppSecret(**AppDocument.of(record).model_dump(), client_secret=secret)

    async def set_issuer(self, client_id: str, provider: AppIdentityProvider | None) -> AppDocument:
        """Register the identity provider whose JWTs an app exchanges; None: none any more."""
        async with self._acts.act("app.change", "app", client_id, client_id) as act:
            act.detail |= provider.model_dump() if provider else {"issuer": None}
            return AppDocument.of(await self._apps.set_issuer(client_id, provider.record if provider else None))


class DirectKeys(KeyOperations):
    """API keys, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._api_keys = resources.api_keys
        self._use = KeyUse(resources.store.redis)
        self._days = resources.settings.auth.rotate_after_days
        self._acts = acts

    async def create(self, client_id: str, new: NewAppKey) -> KeyText:
        """Create a key of an app, or of one of its users."""
        async with self._acts.act("key.create", "key", app=client_id) as act:
            act.detail |= {"name": new.name or None, "user": new.user}
            try:
                record, text = await self._api_keys.create(client_id, user=new.user, **new.change)
            except UnusableMember as error:
                raise invalid(str(error)) from None
            settle_target(act, record.key_id, client_id)
        return KeyText(**KeyDocument.of(record, self._days).model_dump(), key=text)

    async def page(self, client_id: str, after: str, limit: int) -> KeyList:
        """Return the keys of an app and its users by key id."""
        records = sorted(await self._api_keys.list(client_id), key=lambda key: key.key_id)
        chosen, following = _page(records, after, limit)
        used = await self._use.of(client_id)
        return KeyList(items=[KeyDocument.of(key, self._days, used) for key in chosen], next=following)

    async def get(self, key_id: str) -> KeyDocument:
        """Return a key."""
        record = await self._api_keys.get(key_id)
        if record is None:
            raise UnknownRecord(RecordRef("key", key_id))
        return KeyDocument.of(record, self._days, await self._use.of(record.app))

    async def change(self, key_id: str, change: ChangedKey) -> KeyDocument:
        """Change what is named of a key, in every worker at once."""
        async with self._acts.act("key.change", "key", key_id, await self._app_of(key_id)) as act:
            limits = change.limits.given if change.limits else {}
            act.detail["changed"] = ", ".join(sorted(change.model_fields_set))
            act.detail |= {name: None if value is None else str(value) for name, value in limits.items()}
            try:
                return KeyDocument.of(await self._api_keys.change(key_id, **change.change), self._days)
            except KeyEnded as error:
                raise ActRefused("key_ended", str(error)) from None
            except UnusableMember as error:
                raise invalid(str(error)) from None

    async def rotate(self, key_id: str, rotation: KeyRotation) -> RotatedKey:
        """Replace a key by a new one that may do the same."""
        async with self._acts.act("key.rotate", "key", key_id, await self._app_of(key_id)) as act:
            try:
                old, new, text = await self._api_keys.rotate(key_id, rotation.overlap, expires_at=rotation.expires_at)
            except KeyEnded as error:
                raise ActRefused("key_ended", str(error)) from None
            act.detail |= {"new_key": new.key_id, "overlap_seconds": rotation.overlap_seconds}
        assert old.expires_at is not None  # noqa: S101 - a rotated key always ends
        document = KeyDocument.of(new, self._days).model_dump()
        return RotatedKey(**document, key=text, replaces=old.key_id, replaced_key_ends_at=old.expires_at)

    async def revoke(self, key_id: str) -> KeyDocument:
        """End a key for good, in every worker at once."""
        async with self._acts.act("key.revoke", "key", key_id, await self._app_of(key_id)):
            return KeyDocument.of(await self._api_keys.revoke(key_id), self._days)

    async def _app_of(self, key_id: str) -> str:
        record = await self._api_keys.get(key_id)
        return record.app if record else ""


class DirectUsers(UserOperations):
    """End users of apps, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._users = resources.users
        self._api_keys = resources.api_keys
        self._acts = acts

    async def create(self, client_id: str, new: NewUser) -> FoundUser:
        """Create a user, or return the one of that external id."""
        async with self._acts.act("user.create", "user", app=client_id) as act:
            record, created = await self._users.create(client_id, new.name, email=new.email)
            settle_target(act, record.user_id, client_id)
            act.detail |= {"created": created}
        return FoundUser(**UserDocument.of(record).model_dump(), created=created)

    async def page(self, client_id: str, after: str, limit: int) -> UserList:
        """Return the users of an app by user id."""
        found, following = await self._users.page(client_id, after, limit)
        return UserList(items=[UserDocument.of(user) for user in found], next=following)

    async def get(self, client_id: str, user: str) -> UserDocument:
        """Return the user of that user id, else of that external id."""
        return UserDocument.of(await self._require(client_id, user))

    async def set_status(self, client_id: str, user: str, status: UserStatus) -> UserDocument:
        """Suspend a user, let it work again, or deactivate it: that also ends its keys for good."""
        action = {"active": "user.resume", "suspended": "user.suspend", "inactive": "user.deactivate"}[status]
        async with self._acts.act(action, "user", "", client_id) as act:
            record = await self._require(client_id, user)
            settle_target(act, record.user_id, client_id)
            changed = await self._users.change(record, status="active" if status == "active" else "suspended")
            if status == "inactive":
                keys = [key for key in await self._api_keys.list(client_id) if key.user == record.user_id]
                for key in keys:
                    await self._api_keys.revoke(key.key_id)
                act.detail |= {"revoked_keys": len(keys)}
        return UserDocument.of(changed)

    async def _require(self, client_id: str, user: str) -> UserRecord:
        found = await self._users.resolve(client_id, user)
        if found is None:
            raise UnknownRecord(RecordRef("user", f"{client_id}/{user}"))
        return found


def _page(records: Sequence[KeyRecord], after: str, limit: int) -> tuple[Sequence[KeyRecord], str | None]:
    """Return the keys behind `after`, at most `limit`, and where the next page begins; they are in order of ids."""
    start = bisect_right(records, after, key=lambda key: key.key_id)
    chosen = records[start : start + limit]
    return chosen, chosen[-1].key_id if start + limit < len(records) else None
