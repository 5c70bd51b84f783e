"""Reads what a statement is computed from: events, and the sums that stay of those that were pruned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial

from sqlalchemy import Connection

from config.plans import Plan
from proxy.history.batch import Movement, day_of
from proxy.history.queries import totals, wallet_days
from proxy.history.reader import LedgerSources
from proxy.history.totals.total import Total
from proxy.reporting.dates import Days, redis_today
from proxy.reporting.statements.statement import Statement, Tally
from proxy.reporting.stream import AppEvents

_Kept = tuple[list[tuple[str, date, Movement]], list[tuple[Total, int]]]


async def read_statement(sources: LedgerSources, app: str, days: Days, plans: Mapping[str, Plan]) -> Statement:
    """Return the account of an app for these days, with the fees of `plans`. Raises `UnreadableEvent`."""
    over = await redis_today(sources.client) > days.last
    return (await read_tally(sources, app, days)).statement(plans, over=over)


async def read_tally(sources: LedgerSources, app: str, days: Days) -> Tally:
    """Return the tally of an app's events of these days.

    What wallets held before is kept as sums by day, so that no older event is read. Days whose events may be pruned are
    taken from sums alone, whether their events are all gone yet or not. Raises `UnreadableEvent`.
    """
    tally, events = Tally(days), AppEvents(sources, app)
    movements, counted = await events.begin(partial(_kept, app=app, days=days))
    kept_from = day_of(events.pruned_ms)
    for user, day, movement in movements:
        if day < days.first:
            tally.wallet(user).opening += movement.granted - movement.debited - movement.spent
        elif day < kept_from:
            tally.move(user, movement)
    for total, number in counted:
        if total.day < kept_from:
            tally.count(total, number)
    if days.first < kept_from:
        tally.kept_from = kept_from
    if kept_from <= days.last:
        async for recorded in events.archived(Days(max(days.first, kept_from), days.last)):
            tally.add(recorded)
    async for recorded in events.late():
        if recorded.event.time < days.end_ms:
            tally.add(recorded)
    return tally


def _kept(connection: Connection, app: str, days: Days) -> _Kept:
    return wallet_days(connection, app, days.last), totals(connection, app, days.first, days.last)
