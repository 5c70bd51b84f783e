"""The operations on the audit log and on subjects, by the routes of the admin API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from proxy.api.admin.audit_documents import AuditLines, AuditVerification, ErasedDocument, Erasure
from proxy.api.admin.operations.ports import AuditOperations, SubjectOperations
from proxy.api.admin.operations.query import AuditQuery
from proxy.cli.remote.client import AdminClient, Parameters


class RemoteAudit(AuditOperations):
    """The audit log, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def page(self, query: AuditQuery) -> AuditLines:
        params: Parameters = {
            "client_id": query.app,
            "actor": query.actor,
            "action": query.action,
            "target": query.target,
            "since": _moment(query.since_ms) if query.since_ms else None,
            "until": None if query.until_ms is None else _moment(query.until_ms),
            "limit": query.limit,
            "before": query.before,
        }
        return await self._call("GET", "/audit", AuditLines, params=params)

    async def verify(self, head: str | None) -> AuditVerification:
        return await self._call("GET", "/audit/verify", AuditVerification, params={"head": head})


class RemoteSubjects(SubjectOperations):
    """Subjects, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    async def export(self, client_id: str, user: str | None) -> AsyncGenerator[dict[str, Any], None]:
        return self._client.lines(f"/apps/{client_id}/subject", params={"user": user})

    async def erase(self, client_id: str, erasure: Erasure) -> ErasedDocument:
        return await self._client.call("POST", f"/apps/{client_id}/erase", ErasedDocument, body=erasure)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds")
