"""`tollgate invites`: codes with which a developer becomes a member of an app, once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from middlewares.auth.keys import is_id
from proxy.api.admin.people_documents import LONGEST_INVITE_SECONDS, InviteDocument, NewInvite
from proxy.cli.commands.members import Role
from proxy.cli.inputs import AppOption, client_id, duration
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.session import operate

app = typer.Typer(no_args_is_help=True, help="Invitations to apps.")


@app.command()
def create(
    app_id: AppOption,
    role: Role,
    expires_in: Annotated[str, typer.Option(metavar="DURATION", help="Lifetime, for example 12h or 7d.")] = "7d",
    as_json: Json = False,
) -> None:
    """Create an invitation. Its code is shown once and is not stored."""
    owner, lifetime = client_id(app_id), duration("--expires-in", expires_in, LONGEST_INVITE_SECONDS)
    new = NewInvite(role=role.value, expires_in_seconds=int(lifetime.total_seconds()))
    made = operate(lambda operations: operations.invites.create(owner, new))
    print_one({"code": made.code, **view(made)}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the invitations that are open, oldest first."""
    found = operate(lambda operations: operations.invites.list())
    print_many(("invite_id", "app", "role", "created_at", "expires_at"), map(view, found.items), as_json)


@app.command()
def revoke(
    revoked: Annotated[str, typer.Argument(metavar="INVITE_ID", help="Id of the invitation, not its code.")],
    as_json: Json = False,
) -> None:
    """End an invitation that nobody has used."""
    if not is_id(revoked):
        bad_input("that is no id of an invitation; one has 16 characters, and `tollgate invites list` shows them")
    print_one(operate(lambda operations: operations.invites.revoke(revoked)).model_dump(), as_json)


def view(document: InviteDocument) -> dict[str, Any]:
    """Return what is shown of an invitation."""
    return {
        "invite_id": document.invite_id,
        "app": document.app,
        "role": document.role,
        "created_at": document.created_at.isoformat(timespec="seconds"),
        "expires_at": document.expires_at.isoformat(timespec="seconds"),
    }
