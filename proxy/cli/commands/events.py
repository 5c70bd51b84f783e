"""`tollgate events`: the usage events of an app, one JSON object a line."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from middlewares.exchange import Outcome
from middlewares.ledger.settlement.event import ENCODER, plain
from proxy.cli.commands.usage import FromOption, ToOption
from proxy.cli.inputs import AppOption, client_id
from proxy.cli.output import Exit, bad_input
from proxy.cli.session import Session, run
from proxy.reporting.dates import BadDate, Days, parse_day

if TYPE_CHECKING:
    from proxy.reporting.stream import AppEvents, Recorded

POLL_SECONDS = 0.25


def events(
    *,
    app_id: AppOption,
    first: FromOption = None,
    last: ToOption = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only what ended like this.", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many.", show_default=False)] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is to come.")] = False,
    _: Annotated[bool, typer.Option("--json", help="This is the only format: one JSON object a line.")] = False,
) -> None:
    """Print the events of an app, oldest first, one JSON object a line."""
    wanted, days = client_id(app_id), _days(first, last)

    async def read(session: Session) -> bool:
        from proxy.reporting.stream import AppEvents  # noqa: PLC0415
        from proxy.store.configured import redis_keys  # noqa: PLC0415

        await session.apps.require(wanted)
        source = AppEvents(session.store.redis, redis_keys(session.settings), wanted)
        source.start_at(days.start_ms)
        printer = _Printer(source, days, outcome, limit)
        await (printer.follow() if follow else printer.print())
        return printer.whole

    if not run(read):
        raise typer.Exit(Exit.FAILED)


def _days(first: str | None, last: str | None) -> Days:
    try:
        return Days(parse_day(first) if first else date(1970, 1, 1), parse_day(last) if last else date.max)
    except BadDate as error:
        bad_input(str(error))


class _Printer:
    """Prints events, and goes on past what cannot be read, which it reports; `whole`: there was none of that."""

    def __init__(self, source: AppEvents, days: Days, outcome: Outcome | None, limit: int | None) -> None:
        self._source = source
        self._days = days
        self._outcome = outcome
        self._limit = limit
        self._printed = 0
        self._stopped = asyncio.Event()
        self.whole = True

    @property
    def _done(self) -> bool:
        return self._stopped.is_set() or self._printed == self._limit

    async def print(self) -> None:
        """Print what there is."""
        from proxy.reporting.stream import UnreadableEvent  # noqa: PLC0415

        read_on = True
        while read_on:
            read_on = False
            try:
                async with aclosing(self._source.read(self._days)) as recorded:
                    async for each in recorded:
                        self._print(each)
                        if self._done:
                            break
            except UnreadableEvent as error:
                self.whole, read_on = False, True
                typer.echo(f"tollgate: {error}", err=True)
        sys.stdout.buffer.flush()

    async def follow(self) -> None:
        """Print what there is and what comes, until interrupted."""
        from proxy.reporting.interrupts import on_interrupt  # noqa: PLC0415

        with on_interrupt(self._stopped.set):
            while not self._done:
                await self.print()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._stopped.wait()

    def _print(self, recorded: Recorded) -> None:
        if self._outcome is None or recorded.event.outcome == self._outcome:
            sys.stdout.buffer.write(ENCODER.encode(plain(recorded.event, recorded.amount)) + b"\n")
            self._printed += 1
