"""`tollgate history prune`: deletes events that were kept for long enough; their totals stay."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.loader import load
from proxy.cli.output import Json, bad_input, print_many
from proxy.cli.session import CommandSession, run

if TYPE_CHECKING:
    from proxy.history.retention.prune import PrunePlan

_COLUMNS = ("stream", "kept_from", "events", "held_by")
_MONTH = re.compile(r"\d{4}-\d{2}")


def prune(
    *,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH",
            help="First month that is kept, such as 2026-01.  [default: by `history.events_months`]",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show how many events that would delete.")] = False,
    as_json: Json = False,
) -> None:
    """Delete the events of old months from the history; their usage and the sums of wallets stay."""
    settings = load()
    first = None if before is None else _month(before)
    if first is None and settings.history.events_months is None:
        bad_input("events are kept for ever: set `history.events_months`, or give --before")
    months = settings.history.events_months or 0

    async def work(session: CommandSession) -> list[dict[str, Any]]:
        from proxy.history.batch import start_of  # noqa: PLC0415
        from proxy.history.belonging import check  # noqa: PLC0415
        from proxy.history.retention.boundary import wanted  # noqa: PLC0415
        from proxy.store.clients import now_ms  # noqa: PLC0415

        sources = session.sources
        await check(sources.client, sources.history)
        now = await now_ms(sources.client)
        bound = wanted(now, months) if first is None else min(start_of(first), wanted(now, 0))
        numbers = range(len(sources.keys.tags))
        if dry_run:
            return [await _look(session, number, bound) for number in numbers]
        async with session.act("history.prune", "history") as act:
            found = [await _prune(session, number, bound) for number in numbers]
            kept = datetime.fromtimestamp(bound / 1_000, UTC).date().isoformat()
            act.detail |= {"events": sum(each["events"] for each in found), "kept_from_ms": bound, "kept_from": kept}
        return found

    print_many(_COLUMNS, run(work, settings), as_json)


async def _look(session: CommandSession, number: int, bound: int) -> dict[str, Any]:
    from proxy.history.retention.prune import dry_run  # noqa: PLC0415

    stream, first = await _beginning(session, number)
    return _row(stream, *await session.history.read(dry_run, number, bound, first))


async def _prune(session: CommandSession, number: int, bound: int) -> dict[str, Any]:
    from proxy.history.retention import prune as pruning  # noqa: PLC0415

    deleted = 0
    while True:
        stream, first = await _beginning(session, number)
        planned, more = await session.history.write(pruning.prune, number, bound, first)
        deleted += more
        if more < pruning.BATCH:
            return _row(stream, planned, deleted)


async def _beginning(session: CommandSession, number: int) -> tuple[str, int | None]:
    """Return the stream of a hash tag, and when its first entry was written, in Unix milliseconds."""
    from proxy.history.batch import Entry  # noqa: PLC0415

    keys, reader = session.sources.keys, session.sources.client
    stream = keys.shared(keys.tags[number]).events
    found: Any = await reader.xrange(stream, count=1)
    return stream, Entry.parse(found[0][0]).ms if found else None


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else "")
    except ValueError:
        bad_input("--before must be a month such as 2026-01")


def _row(stream: str, planned: PrunePlan, events: int) -> dict[str, Any]:
    boundary = planned.boundary_ms
    kept = datetime.fromtimestamp(boundary / 1_000, UTC).date().isoformat() if boundary else None
    return {"stream": stream, "kept_from": kept, "events": events, "held_by": list(planned.groups)}
