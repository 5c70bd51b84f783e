"""`tollgate apps`: create, list, show, suspend and resume apps, the customers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from config.loader import load
from middlewares.auth.records import AppRecord
from proxy.cli.inputs import client_id, free_text
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.session import CommandSession, run

app = typer.Typer(no_args_is_help=True, help="Apps: the customers.")

ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="Client id of the app.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the app.")],
    plan: Annotated[str, typer.Option(help="Name of its plan.")],
    tier: Annotated[str | None, typer.Option(help="Routing tier, in place of that of the plan.")] = None,
    as_json: Json = False,
) -> None:
    """Create an app. Its client secret is shown once and is not stored."""
    free_text("the name", name)
    settings = load()
    plans = settings.all_plans()
    if plan not in plans:
        bad_input(f"there is no plan {plan!r}; plans are {', '.join(sorted(plans))}")
    tiers = {each.tier for each in plans.values()} | {rule.tier for rule in settings.routing.rules if rule.tier}
    if tier is not None and tier not in tiers:
        bad_input(f"no plan and no routing rule has the tier {tier!r}; tiers are {', '.join(sorted(tiers))}")

    async def work(session: CommandSession) -> tuple[AppRecord, str]:
        async with session.act("app.create", "app") as act:
            act.detail |= {"name": name, "plan": plan, "tier": tier}
            record, secret = await session.apps.create(name, plan, tier=tier)
            act.target = replace(act.target, id=record.client_id, app=record.client_id)
        return record, secret

    record, secret = run(work, settings)
    print_one({**view(record), "client_secret": secret}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all apps, oldest first."""
    records = run(lambda session: session.apps.list())
    print_many(("client_id", "name", "plan", "tier", "status", "created_at"), map(view, records), as_json)


@app.command()
def show(app_id: ClientId, as_json: Json = False) -> None:
    """Show one app."""
    wanted = client_id(app_id)
    print_one(view(run(lambda session: session.apps.require(wanted))), as_json)


@app.command()
def suspend(app_id: ClientId, as_json: Json = False) -> None:
    """Refuse all requests of an app, at once, until it is resumed."""
    print_one(view(_set_status(app_id, "app.suspend", "suspended")), as_json)


@app.command()
def resume(app_id: ClientId, as_json: Json = False) -> None:
    """Accept requests of a suspended app again."""
    print_one(view(_set_status(app_id, "app.resume", "active")), as_json)


def _set_status(app_id: str, action: str, status: Literal["active", "suspended"]) -> AppRecord:
    wanted = client_id(app_id)

    async def work(session: CommandSession) -> AppRecord:
        async with session.act(action, "app", wanted, wanted):
            return await session.apps.set_status(wanted, status)

    return run(work)


def view(record: AppRecord) -> dict[str, Any]:
    """Return what is shown of an app."""
    return {
        "client_id": record.client_id,
        "name": record.name,
        "plan": record.plan,
        "tier": record.tier,
        "status": record.status,
        "created_at": record.created_at.isoformat(timespec="seconds"),
    }
