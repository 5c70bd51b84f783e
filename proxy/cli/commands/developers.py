"""`tollgate developers`: add, list, approve, suspend and resume developers, who sign in with a wallet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.api.admin.people_documents import DeveloperDocument, NewDeveloper
from proxy.cli.inputs import developer_id, free_text, wallet
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.pages import oldest_first
from proxy.cli.session import operate

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import DeveloperAct

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

    new = NewDeveloper(wallet=owned, email=email)
    made = operate(lambda operations: operations.developers.add(new))
    print_one({**view(made), "created": made.created}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all developers, oldest first."""
    found = operate(lambda operations: oldest_first(operations.developers.page))
    print_many(("developer_id", "wallet", "email", "status", "created_at"), map(view, found), as_json)


@app.command()
def approve(named: DeveloperId, as_json: Json = False) -> None:
    """Let a developer sign in that has signed up and waits for it."""
    print_one(view(_changed(named, "approve")), as_json)


@app.command()
def suspend(named: DeveloperId, as_json: Json = False) -> None:
    """Refuse a developer at once, and end its sessions and tokens for good."""
    print_one(view(_changed(named, "suspend")), as_json)


@app.command()
def resume(named: DeveloperId, as_json: Json = False) -> None:
    """Let a suspended developer sign in again."""
    print_one(view(_changed(named, "resume")), as_json)


def _changed(named: str, act: DeveloperAct) -> DeveloperDocument:
    wanted = developer_id(named)
    return operate(lambda operations: operations.developers.set_status(wanted, act))


def view(document: DeveloperDocument) -> dict[str, Any]:
    """Return what is shown of a developer."""
    return {
        "developer_id": document.developer_id,
        "wallet": document.wallet,
        "email": document.email,
        "status": document.status,
        "created_at": document.created_at.isoformat(timespec="seconds"),
    }
