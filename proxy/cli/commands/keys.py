"""`tollgate keys`: create, list, rotate and revoke API keys of apps and their users."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from config.workloads import Workload
from middlewares.auth.records import KeyRecord
from proxy.cli.inputs import AppOption, client_id, duration, expiry, free_text, key_id, network, user_id
from proxy.cli.output import Exit, Json, bad_input, fail, print_many, print_one
from proxy.cli.session import CommandSession, run

_LONGEST_OVERLAP = timedelta(days=365)

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

    async def work(session: CommandSession) -> tuple[KeyRecord, str]:
        async with session.act("key.create", "key", app=owner) as act:
            act.detail |= {"user": bearer, "name": label}
            record, key = await session.keys.create(
                owner,
                user=bearer,
                name=label,
                expires_at=ends,
                workloads=workload or (),
                models=models,
                cidrs=networks,
            )
            act.target = replace(act.target, id=record.key_id)
        return record, key

    record, key = run(work)
    print_one({"key": key, **view(record)}, as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the keys of an app and its users, oldest first."""
    owner = client_id(app_id)
    records = run(lambda session: session.keys.list(owner))
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
    from proxy.control.api_keys import KeyEnded  # noqa: PLC0415 - heavy, as in the session

    wanted = key_id(rotated)
    both_work = timedelta(0) if overlap == "0" else duration("--overlap", overlap)
    if both_work > _LONGEST_OVERLAP:
        bad_input(f"--overlap may be {_LONGEST_OVERLAP.days} days at most: a key that need not end need not be rotated")
    ends = expiry(expires_in, expires_at)

    async def work(session: CommandSession) -> tuple[KeyRecord, KeyRecord, str]:
        async with session.act("key.rotate", "key", wanted, await _owner(session, wanted)) as act:
            old, new, key = await session.keys.rotate(wanted, both_work, expires_at=ends)
            act.detail |= {"new_key": new.key_id, "overlap_seconds": int(both_work.total_seconds())}
        return old, new, key

    try:
        old, new, key = run(work)
    except KeyEnded as error:
        fail(str(error), Exit.FAILED)
    assert old.expires_at is not None  # noqa: S101 - a rotated key always ends
    old_ends = old.expires_at.isoformat(timespec="seconds")
    print_one({"key": key, **view(new), "replaces": old.key_id, "replaced_key_ends_at": old_ends}, as_json)


@app.command()
def revoke(
    revoked: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, not the key itself.")],
    as_json: Json = False,
) -> None:
    """End a key for good, at once, in every running worker."""
    wanted = key_id(revoked)

    async def work(session: CommandSession) -> KeyRecord:
        async with session.act("key.revoke", "key", wanted, await _owner(session, wanted)):
            return await session.keys.revoke(wanted)

    print_one(view(run(work)), as_json)


async def _owner(session: CommandSession, key: str) -> str:
    """Return the app of a key, whose tenant may read what was done to it; empty if there is no such key."""
    found = await session.keys.get(key)
    return found.app if found else ""


def view(record: KeyRecord) -> dict[str, Any]:
    """Return what is shown of a key."""
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
        "replaced_by": record.replaced_by,
    }
