"""Adds many events at once, by the fastest way that each database has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from proxy.history.batch import COLUMNS, Row
from proxy.history.tables import EVENTS

_NAMES = ", ".join(COLUMNS)
_COPY = f"COPY {EVENTS.name} ({_NAMES}) FROM STDIN"
_INSERT = f"INSERT INTO {EVENTS.name} ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants


def insert_events(connection: Connection, rows: Sequence[Row]) -> None:
    """Add rows whose values are in the order of `COLUMNS`; PostgreSQL copies them in one stream.

    Raises `DBAPIError`.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_INSERT, [*rows])
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy does not see what bypasses it
        raise DBAPIError(_COPY, None, error) from error
