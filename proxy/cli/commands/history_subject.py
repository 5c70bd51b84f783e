"""`tollgate history subject` and `erase`: everything about one app or one of its users, and the end of it."""

from __future__ import annotations

import json
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.api.admin.audit_documents import UNREADABLE, Erasure
from proxy.cli.commands.history_export import ArchiveFormat, destination, opened
from proxy.cli.inputs import AppOption, client_id, free_text
from proxy.cli.output import Exit, Json, bad_input, print_one, report
from proxy.cli.session import operate

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import Operations

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

    async def work(operations: Operations) -> bool:
        complete = True
        lines = await operations.subjects.export(owner, name)
        with opened(target) as out:
            async with aclosing(lines):
                async for line in lines:
                    if line["kind"] == UNREADABLE:
                        complete = False
                        report(line["reason"])
                    else:
                        out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        return complete

    if not operate(work):
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
    erasure = Erasure(user=name, irreversible=True)
    done = operate(lambda operations: operations.subjects.erase(owner, erasure))
    print_one(done.model_dump(), as_json)


def _name(user: str | None) -> str | None:
    return None if user is None else free_text("--user", user, 255)
