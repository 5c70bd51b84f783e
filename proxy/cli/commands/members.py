"""`tollgate members`: which developer has which role in which app."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from proxy.cli.inputs import AppOption, client_id, developer_id
from proxy.cli.output import Exit, Json, fail, print_many, print_one
from proxy.cli.session import CommandSession, run
from proxy.control.audit.line import ActOutcome, Result
from proxy.control.developers.records import MembershipRecord

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

    async def work(session: CommandSession) -> MembershipRecord:
        async with session.act("member.add", "member", member, owner) as act:
            act.detail["role"] = role.value
            return await session.memberships.put(owner, member, role.value)

    print_one(view(run(work)), as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the members of an app, oldest first."""
    owner = client_id(app_id)
    records = run(lambda session: session.memberships.of_app(owner))
    print_many(("developer_id", "role", "created_at"), map(view, records), as_json)


@app.command()
def remove(app_id: AppOption, developer: DeveloperOption, as_json: Json = False) -> None:
    """End a membership at once."""
    owner, member = client_id(app_id), developer_id(developer)

    async def work(session: CommandSession) -> bool:
        async with session.act("member.remove", "member", member, owner) as act:
            removed = await session.memberships.remove(owner, member)
            if not removed:
                act.result = Result(ActOutcome.REFUSED, "unknown_id")
            return removed

    if not run(work):
        fail(f"{member} is no member of {owner}", Exit.FAILED)
    print_one({"app": owner, "developer_id": member, "removed": True}, as_json)


def view(record: MembershipRecord) -> dict[str, Any]:
    """Return what is shown of a membership."""
    return {
        "app": record.app,
        "developer_id": record.developer,
        "role": record.role,
        "created_at": record.created_at.isoformat(timespec="seconds"),
    }
