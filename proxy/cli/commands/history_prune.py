"""`tollgate history prune`: deletes events that were kept for long enough; their totals stay."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.api.admin.ledger_documents import Pruning
from proxy.cli.inputs import body
from proxy.cli.output import Json, print_many
from proxy.cli.session import operate

_COLUMNS = ("stream", "kept_from", "events", "held_by")


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
    pruning = body(Pruning, {"before": before, "dry_run": dry_run})
    done = operate(lambda operations: operations.deployment.prune_history(pruning))
    print_many(_COLUMNS, (each.model_dump() for each in done.streams), as_json)
