"""Operations on everything that is kept of an app or one of its users: a copy of it, and the end of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from proxy.api.admin.audit_documents import UNREADABLE, ErasedDocument, Erasure
from proxy.api.admin.operations.acts import Acts
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operations.ports import SubjectOperations
from proxy.api.admin.operations.resources import Resources
from proxy.control.erasure import SubjectRecords
from proxy.history import queries
from proxy.history.archive.archiver import Archiver
from proxy.history.belonging import check
from proxy.history.retention.erasure import ErasureIncomplete, erase
from proxy.reporting.dates import EVER
from proxy.reporting.stream import UnreadableEvent
from proxy.reporting.subject import find_subject, subject_lines


class DirectSubjects(SubjectOperations):
    """Subjects, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._resources = resources
        self._acts = acts

    async def export(self, client_id: str, user: str | None) -> AsyncGenerator[dict[str, Any], None]:
        """Return everything about an app, or one of its users, object by object."""
        await check(self._resources.store.redis, self._resources.history)
        await self._resources.history.read(queries.identity)  # or it would be cut off where the history is away
        return self._lines(await self._records(client_id, user))

    async def _lines(self, found: SubjectRecords) -> AsyncGenerator[dict[str, Any], None]:
        resources, broken = self._resources, list[UnreadableEvent]()
        async with self._acts.act("history.export", found.target.kind, found.target.id, found.target.app) as act:
            count = 0
            async for line in subject_lines(resources.sources, resources.store, found, EVER, broken.append):
                while broken:
                    yield {"kind": UNREADABLE, "reason": str(broken.pop(0))}
                yield line
                count += 1
            for each in broken:
                yield {"kind": UNREADABLE, "reason": str(each)}
            act.detail["lines"] = count

    async def erase(self, client_id: str, erasure: Erasure) -> ErasedDocument:
        """Erase what identifies an app or one of its users, end its records, and keep amounts and totals."""
        resources, sources = self._resources, self._resources.sources
        await check(sources.client, sources.history)
        archiver = Archiver(
            sources.client, sources.keys, sources.history, resources.settings.history, resources.observer()
        )
        try:
            async with self._acts.act("history.erase", "user" if erasure.user else "app", "", client_id) as act:
                found = await self._records(client_id, erasure.user)
                act.target = found.target
                done = asdict(await erase(sources, archiver, found))
                act.detail |= done
        except ErasureIncomplete as error:
            raise ActRefused("erasure_incomplete", str(error)) from None
        return ErasedDocument(app=client_id, user=found.user, **done)

    async def _records(self, client_id: str, name: str | None) -> SubjectRecords:
        """Return the records of a subject. Raises `ActRefused` for an unknown user."""
        resources = self._resources
        found = await find_subject(
            client_id,
            name,
            apps=resources.apps,
            users=resources.users,
            api_keys=resources.api_keys,
            history=resources.history,
        )
        if found is None:
            raise ActRefused("unknown_id", "the app has no such user", 404)
        return found
