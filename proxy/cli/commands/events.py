"""`tollgate events`: prints the usage events of an app, one JSON object a line."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from middlewares.exchange import Outcome
from middlewares.ledger.settlement.event import ENCODER, plain
from proxy.cli.inputs import AppOption, FromOption, ToOption, client_id
from proxy.cli.output import Exit, bad_input, report
from proxy.cli.session import CommandSession, on_interrupt, run
from proxy.reporting.dates import BadDate, Days, parse_day

if TYPE_CHECKING:
    from proxy.reporting.stream import AppEvents, RecordedEvent, UnreadableEvent

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
    wanted, days = client_id(app_id), _days(first, last)

    async def read(session: CommandSession) -> bool:
        from proxy.reporting.stream import AppEvents  # noqa: PLC0415

        await session.apps.require(wanted)
        source = AppEvents(session.sources, wanted)
        printer = _Printer(source, days, outcome, limit)
        await (printer.follow() if follow else printer.print())
        return printer.complete

    if not run(read):
        raise typer.Exit(Exit.FAILED)


def _days(first: str | None, last: str | None) -> Days:
    try:
        return Days(parse_day(first) if first else date(1970, 1, 1), parse_day(last) if last else date.max)
    except BadDate as error:
        bad_input(str(error))


class _Printer:
    """Prints events, and reports and skips those that cannot be read; `complete` is True if there were none."""

    def __init__(self, source: AppEvents, days: Days, outcome: Outcome | None, limit: int | None) -> None:
        self._source = source
        self._days = days
        self._outcome = outcome
        self._limit = limit
        self._printed = 0
        self._stopped = asyncio.Event()
        self.complete = True

    @property
    def _done(self) -> bool:
        return self._stopped.is_set() or self._printed == self._limit

    async def print(self) -> None:
        """Print the events that there are."""
        async with aclosing(self._source.read(self._days, self._report)) as recorded:
            async for each in recorded:
                self._print(each)
                if self._done:
                    break
        sys.stdout.buffer.flush()

    async def follow(self) -> None:
        """Print the events that there are and new ones, until interrupted."""

        with on_interrupt(self._stopped.set):
            while not self._done:
                await self.print()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._stopped.wait()

    def _print(self, recorded: RecordedEvent) -> None:
        if self._outcome is None or recorded.event.outcome == self._outcome:
            sys.stdout.buffer.write(ENCODER.encode(plain(recorded.event, recorded.amount)) + b"\n")
            self._printed += 1

    def _report(self, error: UnreadableEvent) -> None:
        self.complete = False
        report(error)
