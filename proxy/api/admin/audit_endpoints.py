"""The routes of the admin API on the audit log, and on everything that is kept of somebody."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from proxy.api.admin.audit_documents import (
    FIRST_LINE,
    LAST_LINE,
    AuditLines,
    AuditVerification,
    ErasedDocument,
    Erasure,
)
from proxy.api.admin.endpoints import Admin, ClientId, OperationEndpoints, Viewer
from proxy.api.admin.operations.query import AuditQuery
from proxy.api.audit.lines import Moment, Name
from proxy.history.audit.reader import LONGEST_PAGE
from proxy.reporting.dates import unix_ms


def _query(
    *,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
    before: Annotated[str, Query(max_length=100, description="`next` of the page before.")] = "",
    since: Annotated[Moment | None, Query(description="First moment.")] = None,
    until: Annotated[Moment | None, Query(description="First moment that is not wanted any more.")] = None,
    client_id: Annotated[str | None, Query(pattern="^app_[a-z2-7]{16}$", description="Lines of this app.")] = None,
    action: Name = None,
    actor: Name = None,
    target: Name = None,
) -> AuditQuery:
    return AuditQuery(
        app=client_id,
        actor=actor,
        action=action,
        target=target,
        since_ms=unix_ms(since) if since else 0,
        until_ms=unix_ms(until) if until else None,
        limit=limit,
        before=before,
    )


class AuditLogEndpoints(OperationEndpoints):
    """The routes below `/audit`."""

    async def page(self, operator: Viewer, query: Annotated[AuditQuery, Depends(_query)]) -> AuditLines:
        """Return audit lines by page, the newest first."""
        return await self.by(operator).audit.page(query)

    async def verify(
        self,
        operator: Viewer,
        head: Annotated[
            str | None, Query(max_length=100, description="`head` of an earlier verification, still to be found.")
        ] = None,
    ) -> AuditVerification:
        """Recompute the chain of the audit log: a line that was removed, changed, inserted or moved shows."""
        return await self.by(operator).audit.verify(head)


class SubjectEndpoints(OperationEndpoints):
    """The routes on everything about an app or one of its users."""

    async def export(
        self,
        client_id: ClientId,
        operator: Admin,
        user: Annotated[
            str | None, Query(min_length=1, max_length=255, description="User id or external id; without: the app.")
        ] = None,
    ) -> StreamingResponse:
        """Return everything about an app, or about one of its users, with a line of text for each object."""
        lines = await self.by(operator).subjects.export(client_id, user)
        headers = {"cache-control": "no-store"}
        return StreamingResponse(export_text(lines), media_type="application/json", headers=headers)

    async def erase(self, client_id: ClientId, operator: Admin, body: Erasure) -> ErasedDocument:
        """Erase what identifies an app or one of its users, end its records, and keep amounts and totals."""
        return await self.by(operator).subjects.erase(client_id, body)


async def export_text(lines: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[str]:
    """Yield the text of an export; it is cut off where a line cannot be had.

    It is ASCII, because Unicode has ends of lines that JSON leaves within texts.
    """
    yield FIRST_LINE
    separator = "\n"
    async with aclosing(lines) as found:
        async for line in found:
            yield separator + json.dumps(line)
            separator = ",\n"
    yield f"\n{LAST_LINE}"
