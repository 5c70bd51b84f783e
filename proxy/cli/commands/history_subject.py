"""`tollgate history subject` and `erase`: everything about one app or one of its users, and the end of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.loader import load
from proxy.cli.commands.history_export import ArchiveFormat, destination, opened
from proxy.cli.inputs import AppOption, client_id, free_text
from proxy.cli.output import Exit, Json, bad_input, fail, print_one, report
from proxy.cli.session import CommandSession, run

if TYPE_CHECKING:
    from proxy.control.erasure import SubjectRecords
    from proxy.reporting.stream import UnreadableEvent

UserOption = Annotated[
    str | None, typer.Option(metavar="USER", help="User id or external id.  [default: the app with all its users]")
]


def subject(
    app_id: AppOption,
    user: UserOption = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file.  [default: standard output]", show_default=False)
    ] = None,
) -> None:
    """Write everything about an app, or about one of its users, as lines of JSON; no secrets are among it."""
    owner, name = client_id(app_id), _name(user)
    target = destination(ArchiveFormat.JSONL, output)

    async def work(session: CommandSession) -> bool:
        from proxy.reporting.dates import EVER  # noqa: PLC0415
        from proxy.reporting.subject import subject_lines  # noqa: PLC0415

        complete = True

        def unreadable(error: UnreadableEvent) -> None:
            nonlocal complete
            complete = False
            report(error)

        found = await _records(session, owner, name)
        async with session.act("history.export", found.target.kind, found.target.id, found.target.app) as act:
            count = 0
            with opened(target) as out:
                async for line in subject_lines(session.sources, session.store, found, EVER, unreadable):
                    out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                    count += 1
            act.detail["lines"] = count
        return complete

    if not run(work):
        raise typer.Exit(Exit.FAILED)


def erase(
    app_id: AppOption,
    user: UserOption = None,
    sure: Annotated[bool, typer.Option("--yes", help="Do it; it cannot be undone.")] = False,
    as_json: Json = False,
) -> None:
    """Erase what identifies an app or one of its users, end its records, and keep amounts and totals."""
    owner, name = client_id(app_id), _name(user)
    if not sure:
        bad_input("an erasure cannot be undone: add --yes (`tollgate history subject` writes a copy before)")
    settings = load()

    async def work(session: CommandSession) -> dict[str, Any]:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415

        from proxy.history.archive.archiver import Archiver  # noqa: PLC0415
        from proxy.history.belonging import check  # noqa: PLC0415
        from proxy.history.retention.erasure import ErasureIncomplete  # noqa: PLC0415
        from proxy.history.retention.erasure import erase as erase_subject  # noqa: PLC0415
        from proxy.server.background.history_metrics import HistoryMetrics  # noqa: PLC0415

        sources, observer = session.sources, HistoryMetrics(CollectorRegistry())
        await check(sources.client, sources.history)
        archiver = Archiver(sources.client, sources.keys, sources.history, settings.history, observer)
        found = await _records(session, owner, name)
        try:
            async with session.act("history.erase", found.target.kind, found.target.id, found.target.app) as act:
                done = asdict(await erase_subject(sources, archiver, found))
                act.detail |= done
        except ErasureIncomplete as error:
            fail(str(error), Exit.FAILED)
        return {"app": owner, "user": found.user, **done}

    print_one(run(work, settings), as_json)


def _name(user: str | None) -> str | None:
    return None if user is None else free_text("--user", user, 255)


async def _records(session: CommandSession, owner: str, name: str | None) -> SubjectRecords:
    """Return the records of a subject. End the command for an unknown user."""
    from proxy.reporting.subject import find_subject  # noqa: PLC0415

    found = await find_subject(
        owner, name, apps=session.apps, users=session.users, api_keys=session.keys, history=session.history
    )
    if found is None:
        fail("the app has no such user", Exit.FAILED)
    return found
