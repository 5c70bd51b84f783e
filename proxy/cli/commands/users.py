"""`tollgate users`: create and list the end users of apps."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any

import typer

from middlewares.auth.records import UserRecord
from proxy.cli.inputs import AppOption, client_id, free_text
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.session import CommandSession, run

app = typer.Typer(no_args_is_help=True, help="End users of apps.")

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@app.command()
def create(
    app_id: AppOption,
    external_id: Annotated[str, typer.Option(help="The app's own id of the user, unique within the app.")],
    email: Annotated[str | None, typer.Option(help="Email address.")] = None,
    as_json: Json = False,
) -> None:
    """Create a user, or show the one that has this external id already."""
    owner = client_id(app_id)
    free_text("--external-id", external_id, 255)
    if email is not None and not _EMAIL.fullmatch(free_text("--email", email, 254)):
        bad_input("--email must be an email address")

    async def work(session: CommandSession) -> tuple[UserRecord, bool]:
        async with session.act("user.create", "user", app=owner) as act:
            record, created = await session.users.create(owner, external_id, email=email)
            act.target = replace(act.target, id=record.user_id)
            act.detail["created"] = created
        return record, created

    record, created = run(work)
    print_one({**view(record), "created": created}, as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the users of an app, oldest first."""
    owner = client_id(app_id)
    records = run(lambda session: session.users.list(owner))
    print_many(("user_id", "external_id", "email", "status", "created_at"), map(view, records), as_json)


def view(record: UserRecord) -> dict[str, Any]:
    """Return what is shown of a user."""
    return {
        "user_id": record.user_id,
        "app": record.app,
        "external_id": record.external_id,
        "email": record.email,
        "status": record.status,
        "created_at": record.created_at.isoformat(timespec="seconds"),
    }
