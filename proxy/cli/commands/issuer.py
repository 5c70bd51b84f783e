"""`tollgate issuer`: the keys that sign Tollgate's own tokens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import load
from proxy.cli.inputs import duration
from proxy.cli.output import Json, bad_input, print_one
from proxy.cli.session import CommandSession, run

if TYPE_CHECKING:
    from proxy.identity.signing_keys import SigningKey

_SHORTEST_LEAD = timedelta(seconds=10)
"""Workers look for new keys every five seconds."""
_LONGEST_LEAD = timedelta(days=30)

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
    settings = load()
    from proxy.cli.data_dir import require_data_dir  # noqa: PLC0415 - slow to import, like the next
    from proxy.identity.issuer_keys import IssuerKeys  # noqa: PLC0415

    require_data_dir(settings)

    async def work(session: CommandSession) -> SigningKey:
        async with session.act("issuer.rotate", "issuer") as act:
            key = IssuerKeys.open(settings.data_dir, settings.issuer).rotate(settings.issuer, ahead.total_seconds())
            act.target = replace(act.target, id=key.kid)
            act.detail |= {"lead_seconds": int(ahead.total_seconds())}
        return key

    key = run(work, settings)
    begin = datetime.fromtimestamp(key.signs_from, UTC).isoformat(timespec="seconds")
    print_one({"kid": key.kid, "algorithm": key.algorithm, "signs_from": begin}, as_json)
