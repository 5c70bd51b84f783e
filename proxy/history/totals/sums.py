"""Sums over running totals of closed days, made by the database: a report has few groups of many totals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from proxy.history.queries import closed_day
from proxy.history.tables import TOTALS, Exact


class GroupSum(NamedTuple):
    """What the totals of one group add up to."""

    values: tuple[Any, ...]
    """Those of the wanted columns, in their order."""
    what: str
    """`requests`, `amount` or a unit."""
    number: int


class ExactSum(FunctionElement[int]):
    """A sum of integers of any size. SQLite has them as text, and adds them up by a function of `engine`."""

    type = Exact()
    inherit_cache = True
    name = "exact_sum"


@compiles(ExactSum)
def _sum(element: ExactSum, compiler: SQLCompiler, **options: Any) -> str:
    return f"sum({compiler.process(element.clauses, **options)})"


@compiles(ExactSum, "sqlite")
def _exact_sum(element: ExactSum, compiler: SQLCompiler, **options: Any) -> str:
    return f"exact_sum({compiler.process(element.clauses, **options)})"


def closed_sums(
    connection: Connection, *, tag: int, app: str, first: date, last: date, columns: Sequence[str]
) -> list[GroupSum]:
    """Return the totals of an app over those of the days that are closed, by the columns of that name in `TOTALS`."""
    closed = closed_day(connection, tag)
    if closed is None or closed < first:
        return []
    groups = [TOTALS.c[name] for name in columns]
    wanted = (TOTALS.c.app == app, TOTALS.c.day >= first, TOTALS.c.day <= min(closed, last))
    query = select(*groups, TOTALS.c.what, ExactSum(TOTALS.c.number)).where(*wanted).group_by(*groups, TOTALS.c.what)
    return [GroupSum(tuple(values), what, number) for *values, what, number in connection.execute(query)]
