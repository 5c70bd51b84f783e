"""`tollgate users`: create, list, show, suspend, resume and deactivate the end users of apps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.api.admin.documents import UserDocument
from proxy.api.models import NewUser, UserStatus
from proxy.cli.inputs import AppOption, client_id, free_text, required_user_id
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.pages import oldest_first
from proxy.cli.session import operate

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import Operations

app = typer.Typer(no_args_is_help=True, help="End users of apps.")

UserId = Annotated[str, typer.Argument(metavar="USER_ID", help="Id of the user.")]

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
    new = NewUser(external_id=external_id, email=email)
    made = operate(lambda operations: operations.users.create(owner, new))
    print_one({**view(made), "created": made.created}, as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the users of an app, oldest first."""
    owner = client_id(app_id)

    async def work(operations: Operations) -> list[UserDocument]:
        return await oldest_first(lambda after, limit: operations.users.page(owner, after, limit))

    print_many(("user_id", "external_id", "email", "status", "created_at"), map(view, operate(work)), as_json)


@app.command()
def show(user: UserId, app_id: AppOption, as_json: Json = False) -> None:
    """Show one user."""
    owner, wanted = client_id(app_id), required_user_id(user)
    print_one(view(operate(lambda operations: operations.users.get(owner, wanted))), as_json)


@app.command()
def suspend(user: UserId, app_id: AppOption, as_json: Json = False) -> None:
    """Refuse all requests of a user, at once, until it is resumed."""
    _set_status(user, app_id, "suspended", as_json=as_json)


@app.command()
def resume(user: UserId, app_id: AppOption, as_json: Json = False) -> None:
    """Accept requests of a suspended user again."""
    _set_status(user, app_id, "active", as_json=as_json)


@app.command()
def deactivate(user: UserId, app_id: AppOption, as_json: Json = False) -> None:
    """Suspend a user, and end all its keys for good; its usage stays."""
    _set_status(user, app_id, "inactive", as_json=as_json)


def _set_status(user: str, app_id: str, status: UserStatus, *, as_json: bool) -> None:
    owner, wanted = client_id(app_id), required_user_id(user)
    print_one(view(operate(lambda operations: operations.users.set_status(owner, wanted, status))), as_json)


def view(document: UserDocument) -> dict[str, Any]:
    """Return what is shown of a user."""
    return {
        "user_id": document.user_id,
        "app": document.app,
        "external_id": document.external_id,
        "email": document.email,
        "status": document.status,
        "created_at": document.created_at.isoformat(timespec="seconds"),
    }
