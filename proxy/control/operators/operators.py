"""The service for operators, who run this deployment: create, list, revoke, and check an operator key."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime

from middlewares.auth.keys import hash_secret, matches, mint_operator_key, parse_operator_key
from middlewares.auth.records import OperatorRecord, RecordRef, Role
from proxy.control.records import OPERATORS, Client, Records, indexed


class Operators:
    """Makes, finds and revokes operators. Each has one key; a new key is a new operator."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, OperatorRecord)
        self._no_hash = hash_secret(secrets.token_bytes(32), pepper)
        """What the secret of an unknown operator is compared with, so that its refusal takes no less time."""

    async def create(self, name: str, role: Role) -> tuple[OperatorRecord, str]:
        """Create an operator. Return it and the text of its key, which is not stored."""
        text, key = mint_operator_key()
        operator = OperatorRecord(
            operator_id=key.key_id,
            name=name,
            role=role,
            hash=hash_secret(key.secret, self._pepper),
            last4=text[-4:],
            created_at=datetime.now(UTC),
        )
        await self._client.sadd(OPERATORS, operator.operator_id)
        await self._records.add(operator)
        return operator, text

    async def authenticate(self, credential: bytes) -> OperatorRecord | None:
        """Return the operator of this key; None if it is malformed, unknown, wrong or revoked.

        Known and unknown ids take the same work: one look-up and one comparison.
        """
        key = parse_operator_key(credential)
        if key is None:
            return None
        operator = await self._records.get(RecordRef("operator", key.key_id))
        good = matches(key.secret, operator.hash if operator else self._no_hash, self._pepper)
        return operator if good and operator is not None and operator.status == "active" else None

    async def get(self, operator_id: str) -> OperatorRecord | None:
        """Return the operator, None if there is none."""
        return await self._records.get(RecordRef("operator", operator_id))

    async def list(self) -> list[OperatorRecord]:
        """Return all operators, oldest first."""
        ids = await indexed(self._client, OPERATORS)
        return await self._records.several([RecordRef("operator", each) for each in ids])

    async def revoke(self, operator_id: str) -> OperatorRecord:
        """End an operator's key and sessions for good, at once. Raises `UnknownRecord`."""
        return await self._records.change(
            RecordRef("operator", operator_id), lambda operator: replace(operator, status="revoked")
        )
