"""`tollgate issuer`: the keys that sign Tollgate's own tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from proxy.api.admin.ledger_documents import LONGEST_LEAD_SECONDS, SHORTEST_LEAD_SECONDS
from proxy.cli.inputs import duration
from proxy.cli.output import Json, bad_input, print_one
from proxy.cli.session import operate

_SHORTEST_LEAD, _LONGEST_LEAD = timedelta(seconds=SHORTEST_LEAD_SECONDS), timedelta(seconds=LONGEST_LEAD_SECONDS)

app = typer.Typer(no_args_is_help=True, help="Keys of Tollgate's own tokens.")


@app.command()
def rotate(
    lead: Annotated[
        str, typer.Option(metavar="DURATION", help="Time from the publication of the new key to its first signature.")
    ] = "10m",
    as_json: Json = False,
) -> None:
    """Publish a new signing key, sign with it after --lead, and retire the old one once its tokens have expired."""
    ahead = duration("--lead", lead)
    if not _SHORTEST_LEAD <= ahead <= _LONGEST_LEAD:
        bad_input(f"--lead must be {_SHORTEST_LEAD.seconds}s to {_LONGEST_LEAD.days}d")
    key = operate(lambda operations: operations.deployment.rotate_issuer(int(ahead.total_seconds())))
    begin = key.signs_from.isoformat(timespec="seconds")
    print_one({"kid": key.kid, "algorithm": key.algorithm, "signs_from": begin}, as_json)
