"""`tollgate developers`: add, list, approve, suspend and resume developers, the people who sign in."""

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

app = typer.Typer(no_args_is_help=True, help="Developers, the people who sign in.")

DeveloperId = Annotated[str, typer.Argument(metavar="DEVELOPER_ID", help="Id of the developer.")]

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@app.command()
def add(
    address: Annotated[
        str | None, typer.Argument(metavar="[WALLET]", help="Address of the wallet, 0x and 40 digits.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Without a wallet: whom the provider of the portal calls it, the `sub`.")
    ] = None,
    email: Annotated[
        str | None, typer.Option(help="Email address; by itself: of whoever signs in at the provider with it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let somebody sign in, or show the developer of this wallet, subject or address that is there already."""
    if (address is None) == (subject is None) and (address is not None or email is None):
        bad_input("give one of WALLET and --subject, or --email alone")
    if email is not None and not _EMAIL.fullmatch(free_text("--email", email, 254)):
        bad_input("--email must be an email address")
    if subject is not None:
        subject = free_text("--subject", subject, 255)

    new = NewDeveloper(wallet=None if address is None else wallet(address), subject=subject, email=email)
    made = operate(lambda operations: operations.developers.add(new))
    print_one({**view(made), "created": made.created}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all developers, oldest first."""
    found = operate(lambda operations: oldest_first(operations.developers.page))
    print_many(("developer_id", "wallet", "subject", "email", "status", "created_at"), map(view, found), as_json)


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
        "issuer": document.issuer,
        "subject": document.subject,
        "email": document.email,
        "status": document.status,
        "created_at": document.created_at.isoformat(timespec="seconds"),
    }
