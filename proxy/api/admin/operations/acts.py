"""Who acts, and the lines of the audit log that operations write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class ActUnderWay:
    id: str
    app: str
    detail: dict[str, str | int | None] = field(default_factory=dict)

    def of(self, target: str, app: str = "") -> None:
        self.id, self.app = target, app


class Acts:
    @asynccontextmanager
    async def act(self, action: str, kind: str, target: str = "", app: str = "") -> AsyncIterator[ActUnderWay]:
        yield ActUnderWay(target, app)
