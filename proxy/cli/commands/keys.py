"""`tollgate keys`: create, list, rotate and revoke API keys of apps and their users."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.workloads import Workload
from proxy.api.admin.documents import LONGEST_OVERLAP_SECONDS, KeyDocument, KeyRotation, NewAppKey
from proxy.cli.inputs import AppOption, client_id, duration, expiry, free_text, key_id, network, user_id
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.pages import oldest_first
from proxy.cli.session import operate

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import Operations

_LONGEST_OVERLAP = timedelta(seconds=LONGEST_OVERLAP_SECONDS)

app = typer.Typer(no_args_is_help=True, help="API keys of apps and their users.")


@app.command()
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
    as_json: Json = False,
) -> None:
    """Create a key. It is shown once and is not stored."""
    owner, bearer = client_id(app_id), user_id(user)
    label = free_text("--name", name) if name is not None else ""
    models = [free_text("--model", each, 200) for each in model or ()]
    networks = [network(each) for each in cidr or ()]
    ends = expiry(expires_in, expires_at)
    new = NewAppKey(user=bearer, name=label, expires_at=ends, workloads=workload or [], models=models, cidrs=networks)
    made = operate(lambda operations: operations.keys.create(owner, new))
    print_one({"key": made.key, **view(made)}, as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the keys of an app and its users, oldest first."""
    owner = client_id(app_id)

    async def work(operations: Operations) -> list[KeyDocument]:
        return await oldest_first(lambda after, limit: operations.keys.page(owner, after, limit))

    records = operate(work)
    identity = ("key_id", "last4", "name", "user", "status", "created_at", "expires_at", "replaced_by")
    columns = (*identity, "workloads", "models", "cidrs")
    print_many(columns, map(view, records), as_json)


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
    both_work = timedelta(0) if overlap == "0" else duration("--overlap", overlap)
    if both_work > _LONGEST_OVERLAP:
        bad_input(f"--overlap may be {_LONGEST_OVERLAP.days} days at most: a key that need not end need not be rotated")
    rotation = KeyRotation(overlap_seconds=int(both_work.total_seconds()), expires_at=expiry(expires_in, expires_at))
    made = operate(lambda operations: operations.keys.rotate(wanted, rotation))
    old_ends = made.replaced_key_ends_at.isoformat(timespec="seconds")
    print_one({"key": made.key, **view(made), "replaces": made.replaces, "replaced_key_ends_at": old_ends}, as_json)


@app.command()
def revoke(
    revoked: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, not the key itself.")],
    as_json: Json = False,
) -> None:
    """End a key for good, at once, in every running worker."""
    wanted = key_id(revoked)
    print_one(view(operate(lambda operations: operations.keys.revoke(wanted))), as_json)


def view(document: KeyDocument) -> dict[str, Any]:
    """Return what is shown of a key."""
    members = document.model_dump(mode="json", include=set(KeyDocument.model_fields))
    expires = document.expires_at.isoformat(timespec="seconds") if document.expires_at else None
    return members | {"created_at": document.created_at.isoformat(timespec="seconds"), "expires_at": expires}
