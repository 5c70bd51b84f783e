"""`tollgate history ...`: the database behind the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from proxy.cli.output import Json, print_json, print_one, print_table
from proxy.cli.session import CommandSession, run, run_history

if TYPE_CHECKING:
    from proxy.history.store import History

app = typer.Typer(no_args_is_help=True, help="The history: the database that keeps events for years.")


@app.command()
def upgrade(as_json: Json = False) -> None:
    """Create the tables of the history, or bring them to the version of this program."""

    async def work(history: History) -> tuple[str, str]:
        return await history.upgrade()

    before, after = run_history(work)
    print_one({"schema": after, "before": before or None}, as_json=as_json)


@app.command()
def adopt(as_json: Json = False) -> None:
    """Make this the history of this Redis, in place of one that is lost."""

    async def work(session: CommandSession) -> str:
        from proxy.history.belonging import adopt as make_own  # noqa: PLC0415
        from proxy.history.queries import identity  # noqa: PLC0415

        await make_own(session.store.redis, session.history)
        return await session.history.read(identity)

    print_one({"history": run(work)}, as_json=as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """Show how far each stream is archived and trimmed, and what holds it up."""

    async def work(session: CommandSession) -> list[dict[str, Any]]:
        from proxy.history.status import streams  # noqa: PLC0415

        return await streams(session.sources)

    found = run(work)
    if as_json:
        print_json({"streams": found})
        return
    rows = [
        (
            each["stream"],
            each["in_redis"],
            each["waiting"],
            _time(each["archived_to"]),
            each["closed_to"] or "",
            ", ".join(f"{group['name']} ({group['waiting']} waiting)" for group in each["groups"]),
        )
        for each in found
    ]
    print_table(("stream", "in Redis", "not archived", "archived to", "days closed to", "export groups"), rows)


def _time(milliseconds: int | None) -> str:
    if not milliseconds:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
