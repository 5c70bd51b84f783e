"""A statement as a JSON document, as text, and as a table for spreadsheets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from config.runtime import Currency
from proxy.reporting.dates import Days
from proxy.reporting.statements.statement import LineItem, LineKey, LineKind, Statement
from proxy.reporting.statements.wallet import Wallet
from proxy.reporting.tables import decimal, printable
from proxy.reporting.totals import UNITS, UsageTotal
from proxy.reporting.usage_report import Table


def document(app: str, name: str, currency: Currency, statement: Statement) -> dict[str, Any]:
    """Return the JSON document of a statement. Amounts are decimal strings of atomic units."""
    return {
        "app": app,
        "name": name,
        **_span(statement),
        "currency": currency.model_dump(),
        "lines": [line.plain() for line in statement.lines],
        "totals": {
            "fees": str(statement.amount(LineKind.FEE)),
            "usage": str(statement.amount(LineKind.USAGE)),
            "adjustments": str(statement.amount(LineKind.ADJUSTMENT)),
            "amount": str(statement.amount()),
        },
        "credits": [{"user": user, **wallet.plain()} for user, wallet in statement.wallets],
        **_evidence(statement),
        "notes": list(statement.notes),
    }


def statement_of(document: Mapping[str, Any]) -> Statement:
    """Return the statement that a JSON document of it stands for."""
    lines = [
        LineItem(
            LineKey(LineKind(each["kind"]), each["plan"], each["workload"] or "", each["model"] or ""),
            UsageTotal.of(each),
            each.get("users", 0),
        )
        for each in document["lines"]
    ]
    return Statement(
        days=Days(date.fromisoformat(document["from"]), date.fromisoformat(document["to"])),
        lines=tuple(lines),
        wallets=tuple((each["user"], Wallet.of(each)) for each in document["credits"]),
        plans=tuple(document["plans"]),
        events=document["event_count"],
        attention=document["attention_count"],
        digest=document["events_sha256"],
        notes=tuple(document["notes"]),
    )


def summary(app: str, name: str, currency: Currency, statement: Statement) -> dict[str, Any]:
    """Return the summary above the lines, with amounts in the currency."""

    def money(amount: int) -> str:
        return f"{decimal(amount, currency.decimals)} {currency.code}"

    return {
        "app": f"{app} ({name})",
        **_span(statement),
        "amount": money(statement.amount()),
        "fees": money(statement.amount(LineKind.FEE)),
        "usage": money(statement.amount(LineKind.USAGE)),
        "adjustments": money(statement.amount(LineKind.ADJUSTMENT)),
        **_evidence(statement),
        "notes": list(statement.notes),
    }


def table(currency: Currency, statement: Statement) -> Table:
    """Return the table of lines, with units that occur only, and amounts also in the currency."""
    units = [unit for unit in UNITS if any(line.total.units.get(unit) for line in statement.lines)]
    rows: list[list[str | int]] = [
        [
            line.key.kind,
            line.key.plan,
            line.key.workload,
            printable(line.key.model),
            line.users or "",
            line.total.requests,
            *(line.total.units.get(unit, 0) for unit in units),
            line.total.amount,
            decimal(line.total.amount, currency.decimals),
        ]
        for line in statement.lines
    ]
    return ["kind", "plan", "workload", "model", "users", "requests", *units, "amount", currency.code], rows


def wallets(currency: Currency, statement: Statement) -> Table:
    """Return the table of wallets, in the currency; that of the app has no user."""
    rows: list[list[str | int]] = [
        [user or "", *(decimal(int(amount), currency.decimals) for amount in wallet.plain().values())]
        for user, wallet in statement.wallets
    ]
    names = ("opening", "granted", "debited", "expired", "returned", "spent")
    return ["credits of user", *names, f"closing {currency.code}"], rows


def spreadsheet(currency: Currency, statement: Statement) -> Table:
    """Return the lines for programs, always with the same columns."""
    header = ["kind", "plan", "workload", "model", "users", "request_count", *UNITS, "amount", "currency"]
    rows: list[list[str | int]] = [
        [
            line.key.kind,
            line.key.plan,
            line.key.workload,
            line.key.model,
            line.users,
            line.total.requests,
            *(line.total.units.get(unit, 0) for unit in UNITS),
            line.total.amount,
            currency.code,
        ]
        for line in statement.lines
    ]
    return header, rows


def _span(statement: Statement) -> dict[str, str]:
    return {"from": statement.days.first.isoformat(), "to": statement.days.last.isoformat()}


def _evidence(statement: Statement) -> dict[str, Any]:
    return {
        "plans": list(statement.plans),
        "event_count": statement.events,
        "attention_count": statement.attention,
        "events_sha256": statement.digest,
    }
