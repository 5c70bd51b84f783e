"""`tollgate keys`: API keys of apps and their users."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from config.workloads import Workload
from middlewares.auth.records import KeyRecord
from proxy.cli.inputs import AppOption, client_id, expiry, free_text, key_id, network, user_id
from proxy.cli.output import Json, print_many, print_one
from proxy.cli.session import run

app = typer.Typer(no_args_is_help=True, help="API keys of apps and their users.")


@app.command()
def create(
    *,
    app_id: AppOption,
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="The user of the app it is for.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    expires_in: Annotated[str | None, typer.Option(metavar="DURATION", help="For example 12h or 30d.")] = None,
    expires_at: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601, UTC unless it says else.")] = None,
    workload: Annotated[list[Workload] | None, typer.Option(help="Allow only this; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Allow only this model; may be repeated.")] = None,
    cidr: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="Allow only callers from here; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once and cannot be had again."""
    owner, bearer = client_id(app_id), user_id(user)
    label = free_text("--name", name) if name is not None else ""
    models = [free_text("--model", each, 200) for each in model or ()]
    networks = [network(each) for each in cidr or ()]
    ends = expiry(expires_in, expires_at)
    record, key = run(
        lambda session: session.keys.create(
            owner,
            user=bearer,
            name=label,
            expires_at=ends,
            workloads=workload or (),
            models=models,
            cidrs=networks,
        )
    )
    print_one({"key": key, **view(record)}, as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the keys of an app and its users, oldest first."""
    owner = client_id(app_id)
    records = run(lambda session: session.keys.list(owner))
    columns = ("key_id", "last4", "name", "user", "status", "created_at", "expires_at", "workloads", "models", "cidrs")
    print_many(columns, map(view, records), as_json)


@app.command()
def revoke(
    revoked: Annotated[str, typer.Argument(metavar="KEY_ID", help="Its id, not the key itself.")],
    as_json: Json = False,
) -> None:
    """End a key for good, at once, in every running worker."""
    wanted = key_id(revoked)
    print_one(view(run(lambda session: session.keys.revoke(wanted))), as_json)


def view(record: KeyRecord) -> dict[str, Any]:
    """What people and programs may see of a key."""
    expired = record.expires_at is not None and record.expires_at <= datetime.now(UTC)
    return {
        "key_id": record.key_id,
        "last4": record.last4,
        "app": record.app,
        "user": record.user,
        "name": record.name,
        "status": "expired" if expired and record.status == "active" else record.status,
        "created_at": record.created_at.isoformat(timespec="seconds"),
        "expires_at": record.expires_at.isoformat(timespec="seconds") if record.expires_at else None,
        "workloads": sorted(record.workloads) if record.workloads is not None else None,
        "models": sorted(record.models) if record.models is not None else None,
        "cidrs": list(record.cidrs) if record.cidrs is not None else None,
    }
