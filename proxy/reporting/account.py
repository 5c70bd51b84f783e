"""Reads what a statement is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from config.plans import Plan
from proxy.history.queries import wallets_before
from proxy.history.reader import LedgerSources
from proxy.reporting.dates import Days, redis_today
from proxy.reporting.statement import Statement, Tally
from proxy.reporting.stream import AppEvents
from proxy.reporting.wallet import Wallet


async def read_statement(sources: LedgerSources, app: str, days: Days, plans: Mapping[str, Plan]) -> Statement:
    """Return the account of an app for these days, with the fees of `plans`. Raises `UnreadableEvent`."""
    over = await redis_today(sources.client) > days.last
    return (await read_tally(sources, app, days)).statement(plans, over=over)


async def read_tally(sources: LedgerSources, app: str, days: Days) -> Tally:
    """Return the tally of an app's events of these days.

    What wallets held before is kept as sums by day, so that no older event is read. Raises `UnreadableEvent`.
    """
    tally, events = Tally(days), AppEvents(sources, app)
    opening = await events.begin(partial(wallets_before, app=app, day=days.first))
    for user, movement in opening.items():
        tally.wallets[user or None] = Wallet(movement.granted - movement.debited - movement.spent)
    async for recorded in events.archived(days):
        tally.add(recorded)
    async for recorded in events.late():
        if recorded.event.time < days.end_ms:
            tally.add(recorded)
    return tally
