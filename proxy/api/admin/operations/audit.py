"""Operations on the audit log: its lines by page, and the verification of its chain."""

from __future__ import annotations

from typing import Any

from proxy.api.admin.audit_documents import AuditLineDocument, AuditLines, AuditVerification
from proxy.api.admin.operations.errors import invalid
from proxy.api.admin.operations.ports import AuditOperations
from proxy.api.admin.operations.query import AuditQuery
from proxy.api.admin.operations.resources import Resources
from proxy.control.audit.log import HEAD, STREAM
from proxy.history.audit.chain import Head
from proxy.history.audit.reader import AuditReader, ListedLine, parse_token
from proxy.history.audit.rows import AuditFilter, Place
from proxy.history.audit.verify import verify
from proxy.history.belonging import check
from proxy.reporting.subject import audit_view


class DirectAudit(AuditOperations):
    """The audit log, on an open store."""

    def __init__(self, resources: Resources) -> None:
        self._redis: Any = resources.store.redis
        self._history = resources.history

    async def page(self, query: AuditQuery) -> AuditLines:
        """Return lines, the newest first."""
        wanted = AuditFilter(
            app=query.app,
            actor=query.actor,
            action=query.action,
            target=query.target,
            since_ms=query.since_ms,
            until_ms=query.until_ms,
        )
        before = _place(query.before) if query.before else None
        found, following = await AuditReader(self._redis, self._history).page(wanted, limit=query.limit, before=before)
        return AuditLines(items=[_document(each) for each in found], next=following)

    async def verify(self, head: str | None) -> AuditVerification:
        """Recompute the chain, of which `head` has to be a line still."""
        noted = [_head(head)] if head else []
        await check(self._redis, self._history)
        kept = await self._redis.get(HEAD)
        known = [Head.parse(kept.decode())] if kept else []
        verdict = await self._history.read(verify, [*known, *noted])
        return AuditVerification(
            lines=verdict.lines,
            waiting=await self._redis.xlen(STREAM),
            erased=verdict.erased,
            head=str(verdict.head),
            findings=list(verdict.findings),
        )


def _document(listed: ListedLine) -> AuditLineDocument:
    return AuditLineDocument(**audit_view(listed))


def _place(text: str) -> Place:
    try:
        return parse_token(text)
    except ValueError:
        raise invalid("`before` must be `next` of the page before") from None


def _head(text: str) -> Head:
    try:
        return Head.parse(text)
    except ValueError:
        reason = "a head must be what an earlier verification showed: a number, a colon, 64 digits"
        raise invalid(reason) from None
