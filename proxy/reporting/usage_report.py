"""Usage as a JSON document, a table for people, and a table for spreadsheets."""

from __future__ import annotations

from typing import Any

from config.runtime import Currency
from proxy.reporting.dates import Days
from proxy.reporting.tables import decimal, printable
from proxy.reporting.totals import UNITS, Breakdown, Total

Table = tuple[list[str], list[list[str | int]]]
"""Header and rows."""


def document(app: str, days: Days, currency: Currency, usage: Breakdown) -> dict[str, Any]:
    """Amounts are decimal strings of atomic units; a group names each dimension, null where its events name none."""
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


def table(currency: Currency, usage: Breakdown) -> Table:
    """For people: only units that occur, amounts also in the currency, and a line for the whole."""
    units = [unit for unit in UNITS if usage.total.units.get(unit)]
    names = [dimension.value for dimension in usage.dimensions]

    def row(head: list[str], total: Total) -> list[str | int]:
        counted = [total.units.get(unit, 0) for unit in units]
        return [*head, total.requests, *counted, total.amount, decimal(total.amount, currency.decimals)]

    rows = [row([printable(value) for value in group], total) for group, total in usage.rows()]
    rows.append(row([*("total" for _ in names[:1]), *("" for _ in names[1:])], usage.total))
    return [*names, "requests", *units, "amount", currency.code], rows


def spreadsheet(currency: Currency, usage: Breakdown) -> Table:
    """For programs: always the same columns; a row for each group, else one for the whole."""
    header = [*usage.dimensions, "request_count", *UNITS, "amount", "currency"]
    groups = usage.rows() if usage.dimensions else [((), usage.total)]
    rows: list[list[str | int]] = [
        [*group, total.requests, *(total.units.get(unit, 0) for unit in UNITS), total.amount, currency.code]
        for group, total in groups
    ]
    return header, rows
