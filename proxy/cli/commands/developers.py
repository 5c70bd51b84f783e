"""`tollgate developers`: add, list, approve, suspend and resume developers, who sign in with a wallet."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any

import typer

from proxy.cli.inputs import developer_id, free_text, wallet
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.session import CommandSession, run
from proxy.control.developers.records import DeveloperRecord

app = typer.Typer(no_args_is_help=True, help="Developers, who sign in with a wallet.")

DeveloperId = Annotated[str, typer.Argument(metavar="DEVELOPER_ID", help="Id of the developer.")]

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@app.command()
def add(
    address: Annotated[str, typer.Argument(metavar="WALLET", help="Address of the wallet, 0x and 40 digits.")],
    email: Annotated[str | None, typer.Option(help="Email address.")] = None,
    as_json: Json = False,
) -> None:
    """Let the owner of a wallet sign in, or show the developer that has this wallet already."""
    owned = wallet(address)
    if email is not None and not _EMAIL.fullmatch(free_text("--email", email, 254)):
        bad_input("--email must be an email address")

    async def work(session: CommandSession) -> tuple[DeveloperRecord, bool]:
        async with session.act("developer.add", "developer") as act:
            record, created = await session.developers.create(owned, email=email)
            act.target = replace(act.target, id=record.developer_id)
            act.detail |= {"wallet": record.wallet, "created": created}
        return record, created

    record, created = run(work)
    print_one({**view(record), "created": created}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all developers, oldest first."""
    records = run(lambda session: session.developers.list())
    print_many(("developer_id", "wallet", "email", "status", "created_at"), map(view, records), as_json)


@app.command()
def approve(named: DeveloperId, as_json: Json = False) -> None:
    """Let a developer sign in that has signed up and waits for it."""
    print_one(view(_changed(named, "developer.approve")), as_json)


@app.command()
def suspend(named: DeveloperId, as_json: Json = False) -> None:
    """Refuse a developer at once, and end its sessions and tokens for good."""
    print_one(view(_changed(named, "developer.suspend")), as_json)


@app.command()
def resume(named: DeveloperId, as_json: Json = False) -> None:
    """Let a suspended developer sign in again."""
    print_one(view(_changed(named, "developer.resume")), as_json)


def _changed(named: str, action: str) -> DeveloperRecord:
    wanted = developer_id(named)

    async def work(session: CommandSession) -> DeveloperRecord:
        async with session.act(action, "developer", wanted):
            developers = session.developers
            return await (developers.suspend if action == "developer.suspend" else developers.activate)(wanted)

    return run(work)


def view(record: DeveloperRecord) -> dict[str, Any]:
    """Return what is shown of a developer."""
    return {
        "developer_id": record.developer_id,
        "wallet": record.wallet,
        "email": record.email,
        "status": record.status,
        "created_at": record.created_at.isoformat(timespec="seconds"),
    }
