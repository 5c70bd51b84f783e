"""Records that one holder of a secret may use once, before they expire: invitations and sign-in links."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeVar

from middlewares.auth.keys import ApiKey, matches
from middlewares.auth.records import RecordRef
from proxy.control.developers.records import InviteRecord, SignInLinkRecord
from proxy.control.operators.records import OperatorLinkRecord
from proxy.control.records import Records

SingleUse = TypeVar("SingleUse", InviteRecord, SignInLinkRecord, OperatorLinkRecord)
SingleUseKind = Literal["invite", "sign-in-link", "operator-link"]


async def find_unused(
    records: Records[SingleUse], kind: SingleUseKind, parts: ApiKey | None, pepper: bytes | None
) -> SingleUse | None:
    """Return the record of a secret, which stays good; None if it is unknown, used or over, or no such secret."""
    found = None if parts is None else await records.get(RecordRef(kind, parts.key_id))
    if parts is None or found is None or not matches(parts.secret, found.hash, pepper):
        return None
    return found if found.expires_at > datetime.now(UTC) else None
