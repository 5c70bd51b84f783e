"""`tollgate portal`: lets people sign in to the pages at `/portal`."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.api.admin.people_documents import OperatorLink, PortalLink
from proxy.cli.inputs import developer_id, operator_id
from proxy.cli.output import Json, bad_input, print_one
from proxy.cli.session import operate

app = typer.Typer(no_args_is_help=True, help="The portal, the pages for members of apps and for operators.")


@app.command()
def link(
    developer: Annotated[
        str | None, typer.Option("--developer", metavar="DEVELOPER_ID", help="Id of the developer who signs in.")
    ] = None,
    operator: Annotated[
        str | None, typer.Option("--operator", metavar="OPERATOR_ID", help="Id of the operator who signs in.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a link by which a developer or an operator signs in to the portal, once and soon.

    It is shown once and is not stored.
    """
    if developer is not None and operator is None:
        member = developer_id(developer)
        _show(operate(lambda operations: operations.developers.portal_link(member)), as_json)
    elif operator is not None and developer is None:
        wanted = operator_id(operator)
        _show(operate(lambda operations: operations.operators.portal_link(wanted)), as_json)
    else:
        bad_input("give either --developer or --operator")


def _show(made: PortalLink | OperatorLink, as_json: bool) -> None:
    members = {**made.model_dump(), "expires_at": made.expires_at.isoformat(timespec="seconds")}
    print_one({"url": members.pop("url"), **members}, as_json)


@app.callback()
def portal() -> None:
    """Offer the command below its name, of which there is one so far."""
