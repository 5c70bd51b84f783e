"""Who acts, and the audit lines that operations write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from proxy.control.audit.line import Actor, AuditTarget
from proxy.control.audit.log import Act, AuditLog


class Acts:
    """Writes one audit line for each act of an actor."""

    def __init__(self, audit: AuditLog, actor: Actor) -> None:
        self._audit = audit
        self._actor = actor

    @asynccontextmanager
    async def act(self, action: str, kind: str, target: str = "", app: str = "") -> AsyncIterator[Act]:
        """Write the line at the end of the context: done, refused with a code, or failed."""
        async with self._audit.act(self._actor, action, AuditTarget(kind, target, app)) as act:
            yield act


def settle_target(act: Act, target: str, app: str = "") -> None:
    """Set the record that an act is about, once it is known; without `app`, that stays as it is."""
    act.target = replace(act.target, id=target, app=app or act.target.app)
