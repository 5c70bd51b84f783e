"""Usage as a JSON document, as a table, and as a table for spreadsheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.runtime import Currency
from proxy.reporting.dates import Days
from proxy.reporting.tables import decimal, printable
from proxy.reporting.totals import UNITS, Breakdown, Dimension, UsageTotal

Table = tuple[list[str], list[list[str | int]]]
"""Header and rows."""


def document(app: str, days: Days, currency: Currency, usage: Breakdown) -> dict[str, Any]:
    """Return the JSON document of usage.

    Amounts are decimal strings of atomic units; a group has each dimension, null where its events have none.
    """
    names = [dimension.value for dimension in usage.dimensions]
    return {
        "app": app,
        "from": days.first.isoformat(),
        "to": days.last.isoformat(),
        "currency": currency.model_dump(),
        "totals": usage.total.plain(),
        "groups": [
            {name: value or None for name, value in zip(names, group, strict=True)} | total.plain()
            for group, total in usage.rows()
        ],
    }


def breakdown_of(document: Mapping[str, Any], dimensions: Sequence[Dimension]) -> Breakdown:
    """Return the usage that a JSON document of it stands for; `dimensions` are those of its groups."""
    names = [dimension.value for dimension in dict.fromkeys(dimensions)]
    groups = {tuple(each[name] or "" for name in names): UsageTotal.of(each) for each in document["groups"]}
    return Breakdown(tuple(dict.fromkeys(dimensions)), UsageTotal.of(document["totals"]), groups)


def table(currency: Currency, usage: Breakdown) -> Table:
    """Return the table, with units that occur only, amounts also in the currency, and a line for the total."""
    units = usage.total.units_used
    names = [dimension.value for dimension in usage.dimensions]

    def row(head: list[str], total: UsageTotal) -> list[str | int]:
        counted = [total.units.get(unit, 0) for unit in units]
        return [*head, total.requests, *counted, total.amount, decimal(total.amount, currency.decimals)]

    rows = [row([printable(value) for value in group], total) for group, total in usage.rows()]
    rows.append(row([*("total" for _ in names[:1]), *("" for _ in names[1:])], usage.total))
    return [*names, "requests", *units, "amount", currency.code], rows


def spreadsheet(currency: Currency, usage: Breakdown) -> Table:
    """Return the table for programs, always with the same columns: a row for each group, else one for the total."""
    header = [*usage.dimensions, "request_count", *UNITS, "amount", "currency"]
    groups = usage.rows() if usage.dimensions else [((), usage.total)]
    rows: list[list[str | int]] = [
        [*group, total.requests, *(total.units.get(unit, 0) for unit in UNITS), total.amount, currency.code]
        for group, total in groups
    ]
    return header, rows
