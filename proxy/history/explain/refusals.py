"""Reads recorded refusals out of rings and history as one. The ring comes first: what moves is found afterwards."""

from __future__ import annotations

from typing import Any

from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.rows import decoded, find_refusal, refusals_of
from proxy.history.reader import LedgerSources


async def read_refusal(sources: LedgerSources, app: str, request_id: str) -> RefusalRecord | None:
    """Return the refusal of an app's request, if it is recorded."""
    waiting = await waiting_refusals(sources, app, request_id)
    found = waiting[0] if waiting else await sources.history.read(find_refusal, request_id)
    return found if found and found.app == app else None


async def read_refusals(sources: LedgerSources, app: str) -> list[RefusalRecord]:
    """Return the recorded refusals of an app, the oldest first."""
    waiting = await waiting_refusals(sources, app)
    found = {each.id: each for each in [*await sources.history.read(refusals_of, app), *waiting]}
    return sorted(found.values(), key=lambda each: each.time)


async def waiting_refusals(sources: LedgerSources, app: str, request_id: str = "") -> list[RefusalRecord]:
    """Return the refusals that wait for the archiver, of one request or of all."""
    reader: Any = sources.client
    entries = await reader.xrange(sources.keys.refusals(app))
    texts = [fields.get(b"refusal", b"") for _, fields in entries]
    return [
        each for each in decoded(text for text in texts if request_id.encode() in text) if request_id in ("", each.id)
    ]
