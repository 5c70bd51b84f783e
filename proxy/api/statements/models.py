"""Statements as the builder API returns them: the same documents as those of `tollgate statements`."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from config.workloads import Unit, Workload
from proxy.reporting.statements.statement import LineKind
from proxy.reporting.tables import Amount, CurrencyView


class Span(BaseModel):
    """Whole days in UTC, both included."""

    model_config = ConfigDict(serialize_by_alias=True)

    first: date = Field(alias="from")
    last: date = Field(alias="to")


class StatementLine(BaseModel):
    """What was used of one model of a workload under one version of a plan, or the fees of a plan."""

    kind: LineKind
    plan: str = Field(description="Name and version.")
    workload: Workload | None = Field(description="null: a fee.")
    model: str | None = Field(description="null: a fee, or a request that named none.")
    users: int = Field(0, description="Only of a fee: for how many active users it is.")
    request_count: int
    units: dict[Unit, int]
    amount: Amount


class StatementTotals(BaseModel):
    """Sums of the lines by kind, and of all."""

    fees: Amount
    usage: Amount
    adjustments: Amount
    amount: Amount


class WalletView(BaseModel):
    """How prepaid credits moved; they show how lines were paid, and are no lines."""

    user: str | None = Field(description="null: the wallet of the app.")
    opening: Amount
    granted: Amount
    debited: Amount = Field(description="Taken out by the operator.")
    expired: Amount
    returned: Amount = Field(description="Taken back by refunds and disputes of payments.")
    spent: Amount
    closing: Amount


class StatementView(Span):
    """The account of an app for a month or a day; its lines add up exactly to the events of the period."""

    app: str
    name: str
    currency: CurrencyView
    lines: list[StatementLine]
    totals: StatementTotals
    credits: list[WalletView]
    plans: list[str] = Field(description="Versions of plans that priced the events.")
    event_count: int
    attention_count: int = Field(description="Events that a person should look at.")
    events_sha256: str = Field(description="SHA-256 over the ids of the events, sorted, each with a line feed.")
    notes: list[str] = Field(description="Caveats for readers.")


class StatementMonth(Span):
    """A month of which there is a statement."""

    period: str = Field(description="As the statement's path names it, such as `2026-11`.")
    over: bool = Field(description="false: the month is not over yet.")
    request_count: int
    amount: Amount = Field(description="Usage and adjustments; fees stand in the statement itself.")


class StatementList(BaseModel):
    """The months since the app was created, the latest first."""

    currency: CurrencyView
    statements: list[StatementMonth]
