"""`tollgate verify`: compares the running totals with those computed from events and open holds."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.api.admin.ledger_documents import Verification
from proxy.cli.inputs import client_id
from proxy.cli.output import Exit, Json, print_json, print_table
from proxy.cli.session import operate
from proxy.reporting.tables import printable


def verify(
    app_id: Annotated[
        str | None, typer.Option("--app", metavar="CLIENT_ID", help="Report only differences of this app.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute all totals from events and compare; exit code 1 if any differs. It can run during traffic."""
    wanted = None if app_id is None else client_id(app_id)
    found = operate(lambda operations: operations.reports.verify(wanted))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        if found.differences:
            rows = [(each.what, printable(each.where), each.expected, each.found) for each in found.differences]
            print_table(("what", "where", "expected", "found"), rows)
        typer.echo(_summary(found))
    if found.differences:
        raise typer.Exit(Exit.FAILED)


def _summary(found: Verification) -> str:
    differences = len(found.differences)
    unknown = f" ({found.unknown} of earlier plan versions cannot be compared)" if found.unknown else ""
    pruned = f"; {found.pruned} totals before {found.kept_from} stand alone, as their events were pruned"
    return (
        f"{differences} difference{'' if differences == 1 else 's'}: {found.totals} totals{unknown} compared with "
        f"{found.events} events and {found.holds} open holds{pruned if found.kept_from else ''}"
    )
