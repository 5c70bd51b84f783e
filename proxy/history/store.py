"""The history's database as the rest of Tollgate uses it: a function and its arguments, run in one transaction.

Everything blocks inside a thread, so the event loop never waits for a disk, a lock or a frozen database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from middlewares.store import StoreUnavailable
from proxy.history import schema
from proxy.history.engine import connect, parse, reason

P = ParamSpec("P")
T = TypeVar("T")


class HistoryUnavailable(StoreUnavailable):
    """The history cannot be used; the message says why, and has no address or password."""


class History:
    """One database. Every call raises `HistoryUnavailable` where it fails; then nothing of it has happened."""

    def __init__(self, url: URL) -> None:
        self._reads, self._writes = connect(url)
        self._checked = False

    @classmethod
    def of(cls, settings: Settings) -> History:
        """Return the history that the settings name; nothing is connected yet. Raises `BadAddress`."""
        url = settings.history_url
        return cls(parse(url.get_secret_value() if url else None, settings.data_dir))

    @classmethod
    def at(cls, url: str) -> History:
        """Return the history at this address; as `of`."""
        return cls(parse(url, Path()))

    @property
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self._reads.dialect.name

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns for a connection in a transaction that only reads."""
        return await self._run(self._reads, work, *args, **kwargs)

    async def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns for a connection in a transaction, which is committed unless it raises."""
        return await self._run(self._writes, work, *args, **kwargs)

    async def upgrade(self) -> tuple[str, str]:
        """Bring the schema to this program's version; return the versions before (empty: none) and after."""
        return await self._guarded(schema.upgrade, self._writes)

    async def close(self) -> None:
        """Disconnect."""
        for engine in (self._reads, self._writes):
            await asyncio.to_thread(engine.dispose)

    async def _run(
        self, engine: Engine, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def transaction() -> T:
            with engine.begin() as connection:
                return work(connection, *args, **kwargs)

        await self._check()
        return await self._guarded(transaction)

    async def _check(self) -> None:
        """Check the schema at the first use: SQLite's is upgraded then, any other by its operator."""
        if self._checked:
            return
        if self.dialect != "sqlite":
            await self._guarded(schema.check, self._reads)
        elif not await self._guarded(schema.is_latest, self._reads):  # an upgrade waits for whoever writes
            await self.upgrade()
        self._checked = True

    async def _guarded(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except schema.SchemaMismatch as error:
            raise HistoryUnavailable(str(error)) from None
        except (SQLAlchemyError, OSError) as error:
            raise HistoryUnavailable(f"the history cannot be used: {reason(error)}") from error
