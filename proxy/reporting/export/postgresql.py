"""A table in PostgreSQL, whose primary key keeps an event from counting twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from middlewares.ledger.settlement.event import plain
from proxy.reporting.export.formats import ReceiverNames
from proxy.reporting.export.sinks import Poisoned, Refused, TryLater
from proxy.reporting.stream import RecordedEvent

TABLE = re.compile(r"[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?")
"""Names of tables, with or without their schema."""

_CREATE = """create table if not exists {table} (
    id text primary key, time timestamptz not null, app text not null, customer text not null, user_id text,
    key_id text, type text not null, workload text, model text not null, outcome text not null,
    amount numeric not null, currency text not null, event jsonb not null)"""
_INSERT = """insert into {table} (id, time, app, customer, user_id, key_id, type, workload, model, outcome, amount,
    currency, event) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::numeric, %s, %s) on conflict (id) do nothing"""

_POISON = ("22", "23", "54")
"""Classes of SQLSTATE that are about a value: data exceptions, violated constraints, exceeded bounds."""
_FAULTS = ("58", "XX")
"""Classes about the server itself, which may be because of one row."""
_REFUSED = ("28", "3D", "3F", "42", "0A")
"""Classes about credentials, names, rights and definitions."""


class PostgresqlSink:
    """Inserts batches, and leaves alone what is there already.

    Amounts are `numeric`, hence exact; `event` has all that is known.
    """

    def __init__(self, address: str, table: str, names: ReceiverNames, timeout: float) -> None:
        """Connect at the first batch. `address` is a libpq URL or string, `timeout` is in seconds for each batch."""
        name = sql.Identifier(*table.split("."))
        self._address = address
        self._names = names
        self._timeout = timeout
        self._create = sql.SQL(_CREATE).format(table=name)
        self._insert = sql.SQL(_INSERT).format(table=name)
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        rows = [self._row(recorded) for recorded in batch]
        work = asyncio.create_task(self._write(rows))
        try:
            done, _ = await asyncio.wait({work}, timeout=self._timeout)
        finally:
            if not work.done():  # cut first: cancelled alone, it would wait for a server that may be frozen
                self._drop()
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
        if not done:
            raise TryLater(f"PostgreSQL did not take a batch within {self._timeout:g} seconds")
        try:
            work.result()
        except psycopg.Error as error:
            raise self._judged(error) from None

    async def close(self) -> None:
        self._drop()

    async def _write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        connection = await self._connected()
        async with connection.cursor() as cursor:
            await cursor.executemany(self._insert, rows)

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._address, autocommit=True, connect_timeout=max(2, int(self._timeout)), application_name="tollgate"
            )
            await self._connection.execute(self._create)
        return self._connection

    def _judged(self, error: psycopg.Error) -> Exception:
        """Return the exception for the exporter, without messages of the driver: they may repeat the address."""
        state = error.sqlstate or ""
        said = error.diag.message_primary or _fatal(error)
        if isinstance(error, psycopg.DataError) or state.startswith(_POISON):
            return Poisoned(f"PostgreSQL refuses a row ({state or 'NUL in a text'}): {said}")
        self._drop()
        if state.startswith(_REFUSED):
            return Refused(f"PostgreSQL refuses ({state}): {said}")
        if isinstance(error, psycopg.ProgrammingError):
            return Refused("the address of PostgreSQL (TOLLGATE_EXPORT__POSTGRESQL_URL) is not one that libpq reads")
        return TryLater(f"PostgreSQL cannot be used now: {said}", fault=state.startswith(_FAULTS))

    def _drop(self) -> None:
        """Cut the connection without a word to the server, which may be frozen."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()

    def _row(self, recorded: RecordedEvent) -> tuple[Any, ...]:
        event = recorded.event
        return (
            event.id,
            datetime.fromtimestamp(event.time / 1_000, UTC),
            event.app,
            self._names.customer_of(recorded),
            event.user,
            event.key,
            event.type,
            event.workload,
            event.model,
            event.outcome,
            recorded.amount,
            self._names.currency,
            Jsonb(plain(event, recorded.amount), dumps=_dumps),
        )


def _fatal(error: psycopg.Error) -> str:
    """Return what the server said when it refused a connection: the driver's own words may hold the address."""
    _, fatal, said = str(error).partition("FATAL:")
    return " ".join(said.split()) if fatal else "there is no connection"


def _dumps(value: Any) -> bytes:
    return msgspec.json.encode(value)
