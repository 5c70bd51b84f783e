"""`tollgate portal`: lets people sign in to the pages at `/portal`."""

from __future__ import annotations

import typer

from proxy.cli.commands.members import DeveloperOption
from proxy.cli.inputs import developer_id
from proxy.cli.output import Json, print_one
from proxy.cli.session import operate

app = typer.Typer(no_args_is_help=True, help="The portal, the pages for members of apps.")


@app.command()
def link(developer: DeveloperOption, as_json: Json = False) -> None:
    """Create a link by which a developer signs in to the portal, once and soon. It is shown once and is not stored."""
    wanted = developer_id(developer)
    made = operate(lambda operations: operations.developers.portal_link(wanted))
    members = {**made.model_dump(), "expires_at": made.expires_at.isoformat(timespec="seconds")}
    print_one({"url": members.pop("url"), **members}, as_json)


@app.callback()
def portal() -> None:
    """Offer the command below its name, of which there is one so far."""
