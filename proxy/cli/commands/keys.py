"""`tollgate keys`: create, list, rotate and revoke API keys of apps and their users."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import typer

from config.workloads import Workload
from middlewares.auth.records import KeyRecord
from proxy.cli.inputs import AppOption, client_id, duration, expiry, free_text, key_id, network, user_id
from proxy.cli.key_options import (
    ConcurrentOption,
    DayOption,
    DescriptionOption,
    MonthOption,
    OriginOption,
    RequestsOption,
    StreamOption,
    TotalOption,
    limits_of,
    narrowing,
    refuse,
)
from proxy.cli.key_view import COLUMNS, for_table, key_view
from proxy.cli.output import Exit, Json, bad_input, fail, print_many, print_one, report
from proxy.cli.session import CommandSession, run
from proxy.control.key_changes import UnusableMember
from proxy.control.key_use import KeyUse

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
    description: DescriptionOption = None,
    requests_per_minute: RequestsOption = None,
    concurrent: ConcurrentOption = None,
    spend_per_day: DayOption = None,
    spend_per_month: MonthOption = None,
    spend_total: TotalOption = None,
    origin: OriginOption = None,
    stream: StreamOption = None,
    as_json: Json = False,
) -> None:
    """Create a key. It is shown once and is not stored.

    Limits of its own hold beside those of its plan, also for the keys that it is rotated to.
    """
    owner, bearer = client_id(app_id), user_id(user)
    label = free_text("--name", name) if name is not None else ""
    models = [free_text("--model", each, 200) for each in model or ()]
    networks = [network(each) for each in cidr or ()]
    ends = expiry(expires_in, expires_at)
    limits = limits_of(
        {
            "requests_per_minute": requests_per_minute,
            "concurrent": concurrent,
            "spend_per_day": spend_per_day,
            "spend_per_month": spend_per_month,
            "spend_total": spend_total,
        }
    )
    members = narrowing(description, origin, stream)
    members |= {
        "name": label,
        "workloads": workload or (),
        "models": models,
        "cidrs": networks,
        "limits": limits,
    }

    async def work(session: CommandSession) -> tuple[dict[str, Any], str]:
        async with session.act("key.create", "key", app=owner) as act:
            act.detail |= {"user": bearer, "name": label}
            record, key = await session.keys.create(owner, user=bearer, expires_at=ends, **members)
            act.target = replace(act.target, id=record.key_id)
        return key_view(record, session.settings), key

    try:
        shown, key = run(work)
    except UnusableMember as error:
        refuse(error)
    print_one({"key": key, **(shown if as_json else for_table(shown))}, as_json)


@app.command("list")
def list_(app_id: AppOption, as_json: Json = False) -> None:
    """List the keys of an app and its users, oldest first."""
    owner = client_id(app_id)

    async def work(session: CommandSession) -> list[dict[str, Any]]:
        records = await session.keys.list(owner)
        used = await KeyUse(session.store.redis).of(owner)
        return [key_view(record, session.settings, used) for record in records]

    shown = run(work)
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
    from proxy.control.api_keys import KeyEnded  # noqa: PLC0415 - heavy, as in the session

    wanted = key_id(rotated)
    both_work = timedelta(0) if overlap == "0" else duration("--overlap", overlap)
    if both_work > _LONGEST_OVERLAP:
        bad_input(f"--overlap may be {_LONGEST_OVERLAP.days} days at most: a key that need not end need not be rotated")
    ends = expiry(expires_in, expires_at)

    async def work(session: CommandSession) -> tuple[KeyRecord, dict[str, Any], str]:
        async with session.act("key.rotate", "key", wanted, await owner_of(session, wanted)) as act:
            old, new, key = await session.keys.rotate(wanted, both_work, expires_at=ends)
            act.detail |= {"new_key": new.key_id, "overlap_seconds": int(both_work.total_seconds())}
        return old, key_view(new, session.settings), key

    try:
        old, new, key = run(work)
    except KeyEnded as error:
        fail(str(error), Exit.FAILED)
    assert old.expires_at is not None  # noqa: S101 - a rotated key always ends
    old_ends = old.expires_at.isoformat(timespec="seconds")
    shown = new if as_json else for_table(new)
    print_one({"key": key, **shown, "replaces": old.key_id, "replaced_key_ends_at": old_ends}, as_json)


@app.command()
def revoke(
    revoked: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, not the key itself.")],
    as_json: Json = False,
) -> None:
    """End a key for good, at once, in every running worker."""
    wanted = key_id(revoked)

    async def work(session: CommandSession) -> dict[str, Any]:
        async with session.act("key.revoke", "key", wanted, await owner_of(session, wanted)):
            return key_view(await session.keys.revoke(wanted), session.settings)

    shown = run(work)
    print_one(shown if as_json else for_table(shown), as_json)


async def owner_of(session: CommandSession, key: str) -> str:
    """Return the app of a key, whose tenant may read what was done to it; empty if there is no such key."""
    found = await session.keys.get(key)
    return found.app if found else ""
