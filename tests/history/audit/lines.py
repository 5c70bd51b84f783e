"""Audit lines for tests, and an archiver that moves them."""

from __future__ import annotations

from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.history.audit.rows import AuditFilter
from proxy.history.audit.verify import AuditVerdict, verify
from tests.history.fakes import Archive

OPERATOR = Actor(ActorKind.OPERATOR, "root", address="192.0.2.7")
KEY = AuditTarget("key", "k" * 16, "app_one")
EVERYTHING = AuditFilter()


async def written(archive: Archive, count: int) -> None:
    """Write so many lines, and move them to the history."""
    audit = AuditLog(archive.client)
    for number in range(count):
        await audit.record(OPERATOR, "key.revoke", KEY, detail={"number": number, "name": f"key {number}"})
    assert await archive.advance()


async def verdict(archive: Archive) -> AuditVerdict:
    """Return what a verification finds."""
    return await archive.history.read(verify)
