"""Connects to the database of the history."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

CONNECT_SECONDS = 5
BUSY_SECONDS = 5
"""How long a connection waits for a lock of another one."""
FILE = "history.sqlite"
"""Name of the default database, in `data_dir`."""

IsolationLevel = Literal["REPEATABLE READ", "READ COMMITTED"]

_WRITES = "tollgate_writes"
_LIVELINESS = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""Settings of libpq by which a database on a machine that is gone is given up within half a minute."""


class BadAddress(ValueError):
    """Text that is no address of a history. The message does not repeat it: it may contain a password."""


def parse(url: str | None, data_dir: Path) -> URL:
    """Return the address of the history: that of `url`, else of the SQLite file in `data_dir`. Raises `BadAddress`."""
    if url is None:
        return URL.create("sqlite", database=str(data_dir.absolute() / FILE))
    try:
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise BadAddress(
            "is not an address; write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    if dialect == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite")
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg") and parsed.database:
        return parsed.set(drivername="postgresql+psycopg")
    raise BadAddress("must begin with sqlite:///PATH or postgresql://, and name a file or database")


def connect(url: URL) -> tuple[Engine, Engine]:
    """Return the engines for transactions that only read, and for those that write. Nothing is connected yet.

    A reading transaction sees one moment of the database, and each of its queries is planned anew: the plan of a
    prepared one, made while a table was small, would be kept when it is not. In SQLite a writing transaction takes the
    lock at once, so that none fails half-way.
    """
    if url.drivername == "sqlite":
        engine = _sqlite(url)
        return engine, engine.execution_options(**{_WRITES: True})
    reads = _postgresql(url, "REPEATABLE READ", prepare_threshold=None)
    return reads, _postgresql(url, "READ COMMITTED")


def _postgresql(url: URL, isolation: IsolationLevel, **options: Any) -> Engine:
    return create_engine(
        url,
        pool_size=4,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level=isolation,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "tollgate", **_LIVELINESS, **options},
    )


def reason(error: SQLAlchemyError | OSError) -> str:
    """Return why the database failed, in one line without statements, parameters or addresses."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first = str(cause).strip().splitlines() or [type(cause).__name__]
    return first[0]


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, pool_size=4, max_overflow=0, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "do_connect", _private)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _private(_dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
    """Create the file for this user alone, before SQLite would with the process's own mask.

    One that is there is not opened: to close it again would give up all locks that this process has on it (POSIX).
    """
    Path(arguments[0]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(arguments[0], os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not before the first write
    connection.create_function("exact_add", 2, _add, deterministic=True)
    connection.create_aggregate("exact_sum", 1, _Sum)  # type: ignore[arg-type]  # typed for numbers of 64 bits alone
    # FULL: what is committed is on disk when its events are trimmed from Redis
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -65536"):
        connection.execute(f"PRAGMA {pragma}")


def _add(one: str, other: str) -> str:
    return str(int(one) + int(other))


class _Sum:
    """Adds up integers of any size, which are text in SQLite."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, *numbers: str) -> None:
        self._sum += int(numbers[0])

    def finalize(self) -> str:
        return str(self._sum)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
