"""Reads the audit log out of history and Redis as one, newest lines first."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from proxy.control.audit.line import ActorKind, AuditLine
from proxy.control.audit.log import STREAM
from proxy.control.records import Client
from proxy.history.audit.rows import AuditFilter, Place, newest
from proxy.history.audit.waiting import line_in
from proxy.history.batch import Entry
from proxy.history.belonging import check
from proxy.history.store import History

LONGEST_PAGE = 1_000
_OPEN = (ActorKind.APP, ActorKind.USER, ActorKind.DEVELOPER)
_CHUNK = 1_000
_TOKEN = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-([!-~]{1,64})")
"""Numbers that a database holds, and the id of a line."""


@dataclass(frozen=True, slots=True)
class ListedLine:
    """A line as it is listed."""

    place: Place
    line: AuditLine
    seq: int | None
    """Its number in the chain; None: it waits in Redis, and is not chained yet."""

    @property
    def time(self) -> int:
        """Return when it was written, in Unix milliseconds."""
        return self.place.time

    @property
    def shows_actor(self) -> bool:
        """Return True if the tenant of the line may see who acted, with which key and from where: its own, its members.

        Who acts for the operator is no business of an app.
        """
        return self.line.actor_kind in _OPEN

    @property
    def token(self) -> str:
        """Return the text that names its place, for the next page."""
        return f"{self.place.time}-{self.place.entry_seq}-{self.place.id}"


def parse_token(text: str) -> Place:
    """Return the place that `ListedLine.token` names. Raises `ValueError`."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise ValueError("Expected the place of a line, as the page before names it")
    return Place(int(found[1]), int(found[2]), found[3])


class AuditReader:
    """Finds lines. Raises `HistoryUnavailable` and the errors of the client."""

    def __init__(self, client: Client, history: History) -> None:
        self._client: Any = client
        self._history = history

    async def page(
        self, wanted: AuditFilter, *, limit: int = 100, before: Place | None = None
    ) -> tuple[list[ListedLine], str | None]:
        """Return at most `limit` wanted lines, newest first, and where the next page begins; None: it is the last.

        Redis is read first: a line that is archived meanwhile is found twice then, and counted once, but never missed.
        """
        await check(self._client, self._history)
        found = {each.place.id: each for each in await self._waiting(wanted, limit + 1, before)}
        for chained in await self._history.read(newest, wanted, before, limit + 1):
            place = Place(chained.time, chained.entry_seq, chained.line.id)
            found[place.id] = ListedLine(place, chained.line, chained.seq)
        ordered = sorted(found.values(), key=lambda each: _order(each.place), reverse=True)
        return ordered[:limit], ordered[limit - 1].token if len(ordered) > limit else None

    async def all(self, wanted: AuditFilter) -> AsyncIterator[ListedLine]:
        """Yield all wanted lines, newest first."""
        before: Place | None = None
        while True:
            lines, following = await self.page(wanted, limit=LONGEST_PAGE, before=before)
            for line in lines:
                yield line
            if following is None:
                return
            before = parse_token(following)

    async def _waiting(self, wanted: AuditFilter, limit: int, before: Place | None) -> list[ListedLine]:
        found: list[ListedLine] = []
        last = "+" if before is None else f"{before.time}-{before.entry_seq}"
        while chunk := await self._client.xrevrange(STREAM, last, count=_CHUNK):
            for name, fields in chunk:
                time, seq, line = line_in(name, fields)
                place = Place(time, seq, line.id)
                if (before is None or _order(place) < _order(before)) and wanted.matches(time, line):
                    found.append(ListedLine(place, line, None))
            if len(found) >= limit or len(chunk) < _CHUNK:
                return found[:limit]
            last = f"({Entry.parse(chunk[-1][0])}"
        return found


def _order(place: Place) -> tuple[int, int, str]:
    return place.time, place.entry_seq, place.id
