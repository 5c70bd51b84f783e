"""Everything about one app or one of its users, as lines of JSON: records, wallets, events and audit lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from middlewares.auth.records import AppRecord, KeyRecord, UserRecord
from middlewares.ledger.credit import prepaid
from middlewares.ledger.settlement.event import plain
from middlewares.store import ScriptRunner
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.erasure import SubjectRecords
from proxy.control.users import Users
from proxy.control.webhook_endpoints import WebhookEndpoint, owned_endpoints
from proxy.history.audit.reader import AuditReader, ListedLine
from proxy.history.audit.rows import AuditFilter
from proxy.history.explain.refusals import read_refusals
from proxy.history.queries import has_user
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.dates import Days
from proxy.reporting.stream import AppEvents, UnreadableEvent

_SECRET = ("secret_hash", "hash", "secrets")
"""Members of records that are no business of their subject's readers."""


async def find_subject(
    client_id: str, name: str | None, *, apps: Apps, users: Users, api_keys: ApiKeys, history: History
) -> SubjectRecords | None:
    """Return the records of an app, or of its user of that user id or external id; None: it has no such user.

    A user without a record, whom only an issuer knows, has its events alone. Raises `UnknownRecord` for a missing app.
    """
    app = await apps.require(client_id)
    keys = await api_keys.list(client_id)
    if name is None:
        return SubjectRecords(app, None, await users.list(client_id), keys)
    user = await users.resolve(client_id, name)
    if user is None and not await history.read(has_user, client_id, name):
        return None
    wanted = user.user_id if user else name
    return SubjectRecords(app, wanted, [user] if user else [], [key for key in keys if key.user == wanted])


async def subject_lines(
    sources: LedgerSources,
    runner: ScriptRunner,
    subject: SubjectRecords,
    days: Days,
    unreadable: Callable[[UnreadableEvent], None],
) -> AsyncIterator[dict[str, Any]]:
    """Yield objects with a member `kind`: `app`, `user`, `key`, `webhook`, `credits`, `event`, `refusal` or `audit`.

    Amounts are strings. `days` are those of the events; `unreadable` is called for each entry that is no event.
    """
    app, user = subject.app.client_id, subject.user
    yield _record("app", subject.app)
    for each in subject.users:
        yield _record("user", each)
    for key in subject.keys:
        yield _record("key", key)
    for endpoint in await owned_endpoints(sources.client, app) if user is None else ():
        yield _record("webhook", endpoint)
    for owner in [user] if user is not None else [None, *(each.user_id for each in subject.users)]:
        balance = await prepaid.balance(runner, sources.keys, app, owner)
        amounts = {name: str(getattr(balance, name)) for name in ("available", "granted", "spent", "held")}
        if owner is None or any(map(int, amounts.values())):
            yield {"kind": "credits", "user": owner, **amounts}
    async for recorded in AppEvents(sources, app).read(days, unreadable):
        if user in (None, recorded.event.user):
            yield {"kind": "event", **plain(recorded.event, recorded.amount)}
    for refusal in await read_refusals(sources, app):
        if user in (None, refusal.user):
            yield {"kind": "refusal", **msgspec.to_builtins(refusal)}
    async for listed in AuditReader(sources.client, sources.history).all(AuditFilter(app=app)):
        if user is None or _concerns(listed, subject):
            yield {"kind": "audit", **audit_view(listed)}


def audit_view(listed: ListedLine) -> dict[str, Any]:
    """Return what is shown of an audit line; amounts are decimal strings."""
    line = listed.line
    when = datetime.fromtimestamp(listed.time / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "id": line.id,
        "number": listed.seq,
        "time": when.replace("+00:00", "Z"),
        "actor_kind": line.actor_kind,
        "actor": line.actor,
        "key_id": line.key,
        "action": line.action,
        "target_kind": line.target_kind,
        "target": line.target,
        "app": line.app or None,
        "result": line.result,
        "code": line.code or None,
        "numbers": {name: str(number) for name, number in line.numbers.items()},
        "texts": line.texts,
    }


def _record(kind: str, record: AppRecord | UserRecord | KeyRecord | WebhookEndpoint) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.to_builtins(record)
    return {"kind": kind, **{name: value for name, value in members.items() if name not in _SECRET}}


def _concerns(listed: ListedLine, subject: SubjectRecords) -> bool:
    line = listed.line
    if not {line.actor, line.key, line.target}.isdisjoint(subject.ids):
        return True
    return not set(line.texts.values()).isdisjoint({*subject.ids, *subject.names})
