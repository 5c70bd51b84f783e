"""The version of the schema: upgraded by migrations, and never used by a program that does not know it."""

from __future__ import annotations

import logging
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "tollgate_history_version"
_MIGRATIONS = files("proxy.history") / "migrations"

logging.getLogger("alembic").setLevel(logging.WARNING)  # its steps are no news to an operator


class SchemaMismatch(Exception):
    """The schema is not that of this program; the message says what to do."""


def is_latest(engine: Engine) -> bool:
    """Return True if the schema is exactly the one that this program knows; no lock is taken."""
    return _found(engine) == latest()


def check(engine: Engine) -> None:
    """Raise `SchemaMismatch` unless the schema is exactly the one that this program knows."""
    found = _found(engine)
    if found == latest():
        return
    if _known(found):
        have = f"has schema {found}" if found else "is empty"
        raise SchemaMismatch(f"the history {have}, this program needs {latest()}: run `tollgate history upgrade`")
    raise _newer(found)


def upgrade(engine: Engine) -> tuple[str, str]:
    """Bring the schema to that of this program; return the versions before (empty: none) and after.

    Raises `SchemaMismatch` if it is newer than the program.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # two programs may upgrade at the same time
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('tollgate_history_version'))"))
        before = version(connection)
        if not _known(before):
            raise _newer(before)
        if before != latest():
            from alembic import command  # noqa: PLC0415 - few commands upgrade, and loading it takes longer than most

            config = _config()
            config.attributes["connection"] = connection
            config.attributes["version_table"] = VERSION_TABLE
            command.upgrade(config, "head")
    return before, latest()


def version(connection: Connection) -> str:
    """Return the version of the schema; empty if there is none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() or "")  # noqa: S608


def _found(engine: Engine) -> str:
    with engine.connect() as connection:
        return version(connection)


@cache
def versions() -> tuple[str, ...]:
    """Return the versions that this program knows, oldest first: the numbers in the names of its migrations."""
    names = [re.fullmatch(r"r(\d+)_\w+\.py", each.name) for each in (_MIGRATIONS / "versions").iterdir()]
    return tuple(sorted(name[1] for name in names if name))


def latest() -> str:
    """Return the version of the schema that this program needs."""
    return versions()[-1]


def _known(found: str) -> bool:
    return not found or found in versions()


def _newer(found: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"the history has schema {found}, which is newer than this program ({latest()}): run a newer Tollgate on it"
    )


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
