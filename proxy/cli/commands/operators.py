"""`tollgate operators`: create, list and revoke operators, who use the admin API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from middlewares.auth.records import Role
from proxy.api.admin.documents import OperatorDocument
from proxy.cli import inputs
from proxy.cli.inputs import free_text
from proxy.cli.output import Json, print_many, print_one
from proxy.cli.session import operate

app = typer.Typer(no_args_is_help=True, help="Operators, who use the admin API.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the operator.")],
    role: Annotated[
        Role, typer.Option(help="viewer reads; support also suspends, resolves and revokes keys; admin does all.")
    ],
    as_json: Json = False,
) -> None:
    """Create an operator with a key, which is shown once and is not stored."""
    label = free_text("the name", name)
    made = operate(lambda operations: operations.operators.create(label, role))
    print_one({"key": made.key, **view(made)}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all operators, oldest first."""
    found = operate(lambda operations: operations.operators.list()).items
    print_many(("operator_id", "last4", "name", "role", "status", "created_at"), map(view, found), as_json)


@app.command()
def revoke(
    operator_id: Annotated[str, typer.Argument(metavar="OPERATOR_ID", help="Id of the operator, not its key.")],
    as_json: Json = False,
) -> None:
    """End the key of an operator, and its sessions in the portal, for good and at once."""
    wanted = inputs.operator_id(operator_id)
    print_one(view(operate(lambda operations: operations.operators.revoke(wanted))), as_json)


def view(document: OperatorDocument) -> dict[str, Any]:
    """Return what is shown of an operator."""
    members = document.model_dump(mode="json", include=set(OperatorDocument.model_fields))
    return members | {"created_at": document.created_at.isoformat(timespec="seconds")}
