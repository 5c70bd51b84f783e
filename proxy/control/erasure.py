"""Takes what identifies somebody out of records. The records stay, ended, with the ids that amounts are kept under."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from middlewares.auth.keys import hash_secret
from middlewares.auth.records import AppRecord, KeyRecord, UserRecord
from middlewares.ledger.credit.erased import PREFIX, erased_reference
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.audit.line import AuditTarget
from proxy.control.records import Client, Records, users_of
from proxy.control.webhook_endpoints import owned_endpoints, remove_endpoint


@dataclass(frozen=True, slots=True)
class SubjectRecords:
    """The records of an app with all its users, or of one user."""

    app: AppRecord
    user: str | None
    """User id; None: the app itself."""
    users: Sequence[UserRecord]
    keys: Sequence[KeyRecord]

    @property
    def target(self) -> AuditTarget:
        """Return the target of an audit line; the id of a user without a record may be a name, and is left out."""
        app = self.app.client_id
        if self.user is None:
            return AuditTarget("app", app, app)
        return AuditTarget("user", self.user if self.users else "", app)

    @property
    def ids(self) -> frozenset[str]:
        """Return the ids under which the audit log knows the user: its own, and those of its keys."""
        return frozenset([*([self.user] if self.user else []), *(key.key_id for key in self.keys)])

    @property
    def names(self) -> frozenset[str]:
        """Return the texts that identify users: external ids and email addresses."""
        return frozenset(name for user in self.users for name in (user.external_id, user.email) if name)


async def erase_records(client: Client, subject: SubjectRecords) -> None:
    """End the records of a subject and take away names, email addresses, networks, and the secret of an app."""
    for key in subject.keys:
        await Records(client, KeyRecord).change(key.ref, _ended)
    for user in subject.users:
        await _erase_user(client, user)
    if subject.user is None:
        for endpoint in await owned_endpoints(client, subject.app.client_id):
            await remove_endpoint(client, endpoint)
        unknown = hash_secret(secrets.token_bytes(32), None)
        await Records(client, AppRecord).change(
            subject.app.ref,
            lambda each: replace(each, name="erased", status="suspended", secret_hash=unknown, issuer=None),
        )


async def erase_references(client: Client, keys: RedisKeys, app: str, user: str | None) -> int:
    """Let digests stand for the references of changes of credits; return how many. They stay taken."""
    name, redis = keys.references(app), _any(client)
    count = 0
    for reference, use in (await redis.hgetall(name)).items():
        owner = use.decode().partition(" ")[2]
        text = reference.decode(errors="surrogateescape")
        if not text.startswith(PREFIX) and user in (None, owner):
            await redis.hset(name, erased_reference(app, text), use)
            await redis.hdel(name, reference)
            count += 1
    return count


def _ended(key: KeyRecord) -> KeyRecord:
    ended = replace(key, status="revoked", cidrs=None, origins=None, streams=None)
    return replace(ended, name="", description="", last4="")


async def _erase_user(client: Client, user: UserRecord) -> None:
    erased = f"{PREFIX}{user.user_id}"
    await Records(client, UserRecord).change(
        user.ref, lambda each: replace(each, external_id=erased, email=None, status="suspended")
    )
    index, redis = users_of(user.app), _any(client)
    await redis.hset(index, erased, user.user_id)
    if user.external_id != erased:
        await redis.hdel(index, user.external_id)


def _any(client: Client) -> Any:
    """Return the client as what it is: its annotations cover replies of other protocols, too."""
    return client
