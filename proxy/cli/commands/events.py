"""`tollgate events`: prints the usage events of an app, one JSON object a line."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from middlewares.exchange import Outcome
from middlewares.ledger.settlement.event import ENCODER
from proxy.api.admin.operations.query import EventQuery
from proxy.cli.inputs import AppOption, FromOption, ToOption, client_id
from proxy.cli.output import Exit, bad_input, report
from proxy.cli.session import on_interrupt, operate
from proxy.reporting.dates import BadDate, parse_day

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import Operations

POLL_SECONDS = 0.25


def events(
    *,
    app_id: AppOption,
    first: FromOption = None,
    last: ToOption = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only events of this outcome.", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most events to print.", show_default=False)] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new events, until Ctrl-C.")] = False,
    _: Annotated[
        bool, typer.Option("--json", help="The only format, one JSON object a line; accepted as in other commands.")
    ] = False,
) -> None:
    """Print the events of an app, oldest first, one JSON object a line; those that were written late come last."""
    wanted, query = client_id(app_id), EventQuery(first=_day(first), last=_day(last), outcome=outcome)
    printer = _Printer(wanted, query, limit)
    operate(printer.follow if follow else printer.print)
    if not printer.complete:
        raise typer.Exit(Exit.FAILED)


def _day(text: str | None) -> str | None:
    try:
        return parse_day(text).isoformat() if text else None
    except BadDate as error:
        bad_input(str(error))


class _Printer:
    """Prints events, and reports and skips those that cannot be read; `complete` is True if there were none."""

    def __init__(self, app: str, query: EventQuery, limit: int | None) -> None:
        self._app = app
        self._query = query
        self._limit = limit
        self._printed = 0
        self._stopped = asyncio.Event()
        self.complete = True

    @property
    def _done(self) -> bool:
        return self._stopped.is_set() or self._printed == self._limit

    async def print(self, operations: Operations) -> None:
        """Print the events that there are, from where the last call has ended."""
        more = True
        while more and not self._done:
            page = await operations.events.page(self._app, self._query)
            for event in page.items:
                if self._done:
                    break
                sys.stdout.buffer.write(ENCODER.encode(event.model_dump(mode="json")) + b"\n")
                self._printed += 1
            for entry in page.unreadable:
                self.complete = False
                report(entry)
            self._query = replace(self._query, after=page.next)
            more = page.more
        sys.stdout.buffer.flush()

    async def follow(self, operations: Operations) -> None:
        """Print the events that there are and new ones, until interrupted."""
        with on_interrupt(self._stopped.set):
            while not self._done:
                await self.print(operations)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._stopped.wait()
