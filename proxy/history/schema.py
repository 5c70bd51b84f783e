"""The version of the schema: upgraded by migrations, and never used by a program that does not know it."""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

VERSION_TABLE = "tollgate_history_version"

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
            from alembic import command  # noqa: PLC0415 - Alembic is loaded by the first use of the history

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


def latest() -> str:
    """Return the version of the schema that this program knows."""
    return str(_scripts().get_current_head())


def _known(found: str) -> bool:
    return not found or found in {each.revision for each in _scripts().walk_revisions()}


def _newer(found: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"the history has schema {found}, which is newer than this program ({latest()}): run a newer Tollgate on it"
    )


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files("proxy.history") / "migrations").replace("%", "%%"))
    return config
