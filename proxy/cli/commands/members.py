"""`tollgate members`: which developer has which role in which app."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from proxy.api.admin.people_documents import MemberDocument
from proxy.cli.inputs import AppOption, client_id, developer_id
from proxy.cli.output import Json, print_many, print_one
from proxy.cli.session import operate

app = typer.Typer(no_args_is_help=True, help="Members of apps: developers and their roles.")


class RoleOption(StrEnum):
    """Roles, as commands take them."""

    OWNER = "owner"
    DEVELOPER = "developer"
    BILLING = "billing"
    VIEWER = "viewer"


DeveloperOption = Annotated[str, typer.Option("--developer", metavar="DEVELOPER_ID", help="Id of the developer.")]
Role = Annotated[
    RoleOption, typer.Option(help="What the member may do: all, users and their credentials, or only read.")
]


@app.command()
def add(app_id: AppOption, developer: DeveloperOption, role: Role, as_json: Json = False) -> None:
    """Make a developer a member of an app, or change the role it has there."""
    owner, member = client_id(app_id), developer_id(developer)
    made = operate(lambda operations: operations.members.put(owner, member, role.value))
    print_one(view(made), as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the members of an app, oldest first."""
    owner = client_id(app_id)
    found = operate(lambda operations: operations.members.list(owner))
    print_many(("developer_id", "role", "created_at"), map(view, found.items), as_json)


@app.command()
def remove(app_id: AppOption, developer: DeveloperOption, as_json: Json = False) -> None:
    """End a membership at once."""
    owner, member = client_id(app_id), developer_id(developer)
    ended = operate(lambda operations: operations.members.remove(owner, member))
    print_one(ended.model_dump(), as_json)


def view(document: MemberDocument) -> dict[str, Any]:
    """Return what is shown of a membership."""
    return {
        "app": document.app,
        "developer_id": document.developer_id,
        "role": document.role,
        "created_at": document.created_at.isoformat(timespec="seconds"),
    }
