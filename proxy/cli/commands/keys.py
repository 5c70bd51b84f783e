"""`tollgate keys`: create, list, rotate and revoke API keys of apps and their users."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from config.workloads import Workload
from proxy.api.admin.documents import KeyDocument, NewAppKey
from proxy.api.keys.rotation import LONGEST_OVERLAP_SECONDS, KeyRotation
from proxy.cli.inputs import AppOption, body, client_id, duration, expiry, free_text, key_id, network, user_id
from proxy.cli.key_options import DescriptionOption, OriginOption, StreamOption, with_limits
from proxy.cli.key_view import COLUMNS, for_table, view_of
from proxy.cli.output import Json, print_many, print_one, report
from proxy.cli.pages import oldest_first
from proxy.cli.session import operate
from proxy.control.key_changes import LimitChange

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import Operations

app = typer.Typer(no_args_is_help=True, help="API keys of apps and their users.")


@app.command()
@with_limits
def create(
    *,
    app_id: AppOption,
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="User of the app that the key is for.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the key.")] = None,
    expires_in: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Lifetime, for example 12h or 30d.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time of expiry in ISO 8601, in UTC unless it has an offset.")
    ] = None,
    workload: Annotated[list[Workload] | None, typer.Option(help="Allow only this workload; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Allow only this model; may be repeated.")] = None,
    cidr: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="Allow only clients in this network; may be repeated.")
    ] = None,
    description: DescriptionOption = None,
    limits: LimitChange,
    origin: OriginOption = None,
    stream: StreamOption = None,
    as_json: Json = False,
) -> None:
    """Create a key. It is shown once and is not stored.

    Limits of its own hold beside those of its plan, also for the keys that it is rotated to.
    """
    owner, bearer = client_id(app_id), user_id(user)
    members = {
        "user": bearer,
        "name": free_text("--name", name) if name is not None else "",
        "description": description,
        "expires_at": expiry(expires_in, expires_at),
        "workloads": workload or [],
        "models": [free_text("--model", each, 200) for each in model or ()],
        "cidrs": [network(each) for each in cidr or ()],
        "limits": limits or None,
        "origins": origin,
        "streams": stream,
    }
    new = body(NewAppKey, members)
    made = operate(lambda operations: operations.keys.create(owner, new))
    shown = view_of(made)
    print_one({"key": made.key, **(shown if as_json else for_table(shown))}, as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the keys of an app and its users, oldest first."""
    owner = client_id(app_id)

    async def work(operations: Operations) -> list[KeyDocument]:
        return await oldest_first(lambda after, limit: operations.keys.page(owner, after, limit))

    shown = [view_of(each) for each in operate(work)]
    if as_json:
        print_many((), shown, as_json)
        return
    print_many(COLUMNS, map(for_table, shown), as_json)
    due = sum(each["rotation_due"] for each in shown)
    if due:
        report(f"{due} {'key is' if due == 1 else 'keys are'} due to be rotated; `tollgate keys rotate KEY_ID` does it")


@app.command()
def rotate(
    rotated: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, not the key itself.")],
    *,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="Time that both keys work; 0 ends the old one now.")
    ] = "24h",
    expires_in: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Lifetime of the new key, for example 30d.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time of expiry of the new key in ISO 8601.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Replace a key by a new one with the same permissions, and end the old one after --overlap. It is shown once.

    The new key expires when the old one would have, unless --expires-in or --expires-at is given.
    """
    wanted = key_id(rotated)
    both_work = timedelta(0) if overlap == "0" else duration("--overlap", overlap, LONGEST_OVERLAP_SECONDS)
    rotation = KeyRotation(overlap_seconds=int(both_work.total_seconds()), expires_at=expiry(expires_in, expires_at))
    made = operate(lambda operations: operations.keys.rotate(wanted, rotation))
    old_ends = made.replaced_key_ends_at.isoformat(timespec="seconds")
    shown = view_of(made)
    shown = shown if as_json else for_table(shown)
    print_one({"key": made.key, **shown, "replaces": made.replaces, "replaced_key_ends_at": old_ends}, as_json)


@app.command()
def revoke(
    revoked: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, not the key itself.")],
    as_json: Json = False,
) -> None:
    """End a key for good, at once, in every running worker."""
    wanted = key_id(revoked)
    shown = view_of(operate(lambda operations: operations.keys.revoke(wanted)))
    print_one(shown if as_json else for_table(shown), as_json)
