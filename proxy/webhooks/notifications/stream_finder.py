"""Finds live and BYOC streams that began, that are not charged any more for a while, and that ended.

A stream is a chain of holds, one until each tick, whose events it is known by; see `middlewares.ledger.sessions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select

from config.workloads import Workload
from middlewares.ledger.settlement.event import DECODER, Event, iso
from proxy.history import queries
from proxy.history.reader import LedgerSources
from proxy.history.status import lag_seconds
from proxy.history.tables import EVENTS
from proxy.webhooks.notifications.notification import Notification, NotificationKind
from proxy.webhooks.notifications.round import Addressed, NotifierRound

KINDS = (NotificationKind.STREAM_STARTED, NotificationKind.STREAM_IDLE, NotificationKind.STREAM_ENDED)
LOOK_BACK_MS = 3_600_000
"""Age of the ticks by which a process that takes over learns which streams run."""
_STREAMED = (Workload.LIVE_VIDEO_TO_VIDEO, Workload.BYOC)


@dataclass(slots=True)
class _Stream:
    """A stream by the last tick that is archived."""

    session: str
    event: Event
    gone_ms: int | None = None
    """When the hold behind that tick was first found gone; None: it was there."""

    @property
    def data(self) -> dict[str, object]:
        return {
            "session_id": self.session,
            "workload": self.event.workload,
            "model": self.event.model,
            "user": self.event.user,
            "key_id": self.event.key,
            "last_charged_at": iso(self.event.time),
        }


class StreamFinder:
    """Follows the ticks of the streams of those who want notifications, in memory."""

    def __init__(self, sources: LedgerSources, idle_seconds: int) -> None:
        self._sources = sources
        self._client: Any = sources.client
        self._idle_ms = idle_seconds * 1_000
        self._seen: dict[int, int] = {}
        self._streams: dict[str, _Stream] = {}

    async def find(self, current: NotifierRound) -> list[Addressed]:
        """Return the notifications about streams."""
        owners = current.owners_that_want(KINDS)
        if not owners:
            self._seen, self._streams = {}, {}
            return []
        archived_to = current.now - await lag_seconds(self._sources) * 1_000  # before the events are read
        since = current.now - LOOK_BACK_MS
        self._seen, events = await self._sources.history.read(_ticks, owners, self._seen, since)
        found: list[Addressed] = []
        for event in events:
            session = event.id.rpartition("-")[0]
            known = self._streams.get(session)
            if known is None or known.event.part < event.part:
                self._streams[session] = _Stream(session, event)
            if event.part == 1:
                found += current.address(_started(session, event), happened=event.time)
        for stream, expires in await self._holds():
            found += self._notifications(stream, expires, archived_to, current)
        return found

    async def _holds(self) -> list[tuple[_Stream, float | None]]:
        """Return each stream, and when the hold until its next tick expires; None: it is gone."""
        streams = list(self._streams.values())
        pipeline = self._client.pipeline(transaction=False)
        for each in streams:
            holds = self._sources.keys.shared(self._sources.keys.tag(each.event.app)).holds
            pipeline.zscore(holds, f"{each.session}-{each.event.part + 1}")
        return list(zip(streams, await pipeline.execute() if streams else [], strict=True))

    def _notifications(
        self, stream: _Stream, expires: float | None, archived_to: float, current: NotifierRound
    ) -> list[Addressed]:
        event = stream.event
        if expires is not None and expires > current.now:
            stream.gone_ms = None
            idle = current.now - event.time > self._idle_ms
            return current.address(_ended(NotificationKind.STREAM_IDLE, stream)) if idle else []
        if stream.gone_ms is None:
            stream.gone_ms = current.now
        if stream.gone_ms > archived_to:  # a later tick may be on its way to the history
            return []
        del self._streams[stream.session]
        return current.address(_ended(NotificationKind.STREAM_ENDED, stream), happened=event.time)


def _started(session: str, event: Event) -> Notification:
    data = {**_Stream(session, event).data, "started_at": iso(event.started)}
    return Notification(NotificationKind.STREAM_STARTED, event.app, (session,), data)


def _ended(kind: NotificationKind, stream: _Stream) -> Notification:
    """Return the notification about a stream since its last tick; one that continues later can idle and end again."""
    return Notification(kind, stream.event.app, (stream.session, str(stream.event.time)), stream.data)


def _ticks(
    connection: Connection, owners: Collection[str], seen: Mapping[int, int], since: int
) -> tuple[dict[int, int], Iterable[Event]]:
    """Return the newest event of each hash tag, and the ticks of these apps behind those that were seen.

    Of hash tags of which none was seen, the ticks after `since`.
    """
    newest = {tag: cursor.seq for tag, cursor in queries.cursors(connection).items()}
    changed = {tag: seq for tag, seq in newest.items() if seq != seen.get(tag)}
    if not changed:
        return newest, []
    behind = [
        (EVENTS.c.tag == tag)
        & (EVENTS.c.seq <= seq)
        & (EVENTS.c.seq > seen[tag] if tag in seen else (EVENTS.c.time >= since) & EVENTS.c.app.in_(owners))
        for tag, seq in changed.items()
    ]
    query = select(EVENTS.c.app, EVENTS.c.event).where(or_(*behind), EVENTS.c.workload.in_(_STREAMED))
    rows = connection.execute(query.where(EVENTS.c.type == "usage").order_by(EVENTS.c.seq))
    events = [DECODER.decode(row.event) for row in rows if row.app in owners]
    return newest, [event for event in events if event.part]
