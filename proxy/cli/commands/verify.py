"""`tollgate verify`: compares the running totals with those computed from events and open holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import load
from proxy.cli.inputs import client_id
from proxy.cli.output import Exit, Json, fail, print_json, print_table
from proxy.cli.session import CommandSession, run
from proxy.reporting.tables import printable

if TYPE_CHECKING:
    from proxy.reporting.verify.difference import Difference
    from proxy.reporting.verify.verification import Counts


def verify(
    app_id: Annotated[
        str | None, typer.Option("--app", metavar="CLIENT_ID", help="Report only differences of this app.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute all totals from events and compare; exit code 1 if any differs. It can run during traffic."""
    wanted = None if app_id is None else client_id(app_id)
    settings = load()

    async def compare(session: CommandSession) -> tuple[list[Difference], Counts]:
        from proxy.reporting.stream import UnreadableEvent  # noqa: PLC0415
        from proxy.reporting.verify.verification import verify as compare_all  # noqa: PLC0415

        if wanted is not None:
            await session.apps.require(wanted)
        sources = session.sources
        try:
            differences, counts = await compare_all(sources, settings.all_plans())
        except UnreadableEvent as error:
            fail(str(error), Exit.FAILED)
        if wanted is not None:
            differences = [each for each in differences if concerns(each.where, wanted, sources.keys.tag(wanted))]
        return differences, counts

    differences, counts = run(compare, settings)
    if as_json:
        found = [
            {"what": each.what, "where": each.where, "expected": str(each.expected), "found": str(each.found)}
            for each in differences
        ]
        print_json({"differences": found, **asdict(counts)})
    else:
        if differences:
            rows = [(each.what, printable(each.where), each.expected, each.found) for each in differences]
            print_table(("what", "where", "expected", "found"), rows)
        typer.echo(_summary(len(differences), counts))
    if differences:
        raise typer.Exit(Exit.FAILED)


def concerns(where: str, app: str, tag: str) -> bool:
    """Return True if a difference is in keys of the app, or in keys of its hash tag `tag` that name no app."""
    parts = where.partition(" ")[0].removeprefix(tag).split(":")
    return where.startswith(tag) and (app in parts or not any(part.startswith("app_") for part in parts))


def _summary(differences: int, counts: Counts) -> str:
    unknown = f" ({counts.unknown} of earlier plan versions cannot be compared)" if counts.unknown else ""
    pruned = f"; {counts.pruned} totals before {counts.kept_from} stand alone, as their events were pruned"
    return (
        f"{differences} difference{'' if differences == 1 else 's'}: {counts.totals} totals{unknown} compared with "
        f"{counts.events} events and {counts.holds} open holds{pruned if counts.kept_from else ''}"
    )
