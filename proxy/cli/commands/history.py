"""`tollgate history ...`: the database behind the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.api.admin.ledger_documents import GroupName
from proxy.cli.commands.history_export import ArchiveFormat, destination, span_of, write_events
from proxy.cli.commands.history_prune import prune
from proxy.cli.commands.history_subject import erase, subject
from proxy.cli.inputs import body, client_id
from proxy.cli.output import Exit, Json, print_json, print_one, print_table
from proxy.cli.session import operate, run_history

if TYPE_CHECKING:
    from proxy.history.store import History

app = typer.Typer(no_args_is_help=True, help="The history: the database that keeps events for years.")
app.command()(prune)
app.command()(subject)
app.command()(erase)


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
    found = operate(lambda operations: operations.deployment.adopt_history())
    print_one({"history": found.history}, as_json=as_json)


@app.command()
def forget(name: Annotated[str, typer.Argument(metavar="GROUP")], as_json: Json = False) -> None:
    """Remove an export group that nobody runs any more: no event is kept for it from now on."""
    group = body(GroupName, {"name": name})
    done = operate(lambda operations: operations.deployment.forget_export_group(group))
    print_one(done.model_dump(), as_json=as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """Show how far each stream is archived and trimmed, and what holds it up."""
    found = operate(lambda operations: operations.deployment.history()).streams
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
            ", ".join(_group(group) for group in each["groups"]),
        )
        for each in found
    ]
    print_table(("stream", "in Redis", "not archived", "archived to", "days closed to", "export groups"), rows)


@app.command()
def export(
    *,
    form: Annotated[ArchiveFormat, typer.Option("--format", metavar="FORMAT", help="One of csv, jsonl and parquet.")],
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First day in UTC, such as 2026-11-01.")],
    end: Annotated[str, typer.Option("--to", metavar="DAY", help="Day in UTC before which it ends, not included.")],
    app_id: Annotated[
        str | None, typer.Option("--app", metavar="CLIENT_ID", help="Client id of one app.  [default: all]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file.  [default: standard output]", show_default=False)
    ] = None,
) -> None:
    """Write archived events of some days as CSV, lines of JSON or Parquet; what Redis alone has is not in it yet."""
    times, wanted = span_of(first, end), client_id(app_id) if app_id is not None else None
    target = destination(form, output)

    async def work(history: History) -> bool:
        return await write_events(history, form, times, wanted, target)

    if not run_history(work):
        raise typer.Exit(Exit.FAILED)


def _group(group: dict[str, Any]) -> str:
    gone = "" if group["in_redis"] else ", gone from Redis"
    return f"{group['name']} ({group['waiting']} waiting{gone})"


def _time(milliseconds: int | None) -> str:
    if not milliseconds:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
