"""`tollgate apps`: create, list, show, change, suspend and resume apps, the customers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from config.issuers import has_discovery, is_secure_url
from config.loader import load
from middlewares.auth.records import AppIssuer, AppRecord
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
    tiers = settings.tiers()
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
def change(
    *,
    app_id: ClientId,
    issuer: Annotated[str | None, typer.Option(help="Its identity provider: the exact `iss` of its JWTs.")] = None,
    audience: Annotated[str | None, typer.Option(help="The `aud` that its JWTs name.")] = None,
    jwks_url: Annotated[
        str | None, typer.Option(help="Its key set; none: the one that the issuer's discovery document names.")
    ] = None,
    single_use: Annotated[bool, typer.Option("--single-use", help="Exchange each JWT once, by its `jti`.")] = False,
    no_issuer: Annotated[bool, typer.Option("--no-issuer", help="Exchange no JWTs for the app any more.")] = False,
    as_json: Json = False,
) -> None:
    """Register the identity provider of an app, whose JWTs it exchanges for tokens of its users."""
    wanted = client_id(app_id)
    registered = None if no_issuer else _issuer(issuer, audience, jwks_url, single_use=single_use)
    if no_issuer and (issuer or audience or jwks_url or single_use):
        bad_input("--no-issuer stands alone")

    async def work(session: CommandSession) -> AppRecord:
        async with session.act("app.change", "app", wanted, wanted) as act:
            act.detail |= {"issuer": issuer, "audience": audience, "jwks_url": jwks_url, "single_use": single_use}
            return await session.apps.set_issuer(wanted, registered)

    print_one(view(run(work)), as_json)


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


def _issuer(issuer: str | None, audience: str | None, jwks_url: str | None, *, single_use: bool) -> AppIssuer:
    """Return what is registered. End the command for what no key set can be found by."""
    if issuer is None or audience is None:
        bad_input("give --issuer and --audience, or --no-issuer")
    free_text("--issuer", issuer, 500)
    free_text("--audience", audience, 500)
    if jwks_url is None and not has_discovery(issuer):
        bad_input("give --jwks-url, or an --issuer that is an https URL, to discover it from")
    if jwks_url is not None and not is_secure_url(jwks_url):
        bad_input("--jwks-url must be an https URL")
    return AppIssuer(issuer, audience, jwks_url, single_use)


def view(record: AppRecord) -> dict[str, Any]:
    """Return what is shown of an app."""
    return {
        "client_id": record.client_id,
        "name": record.name,
        "plan": record.plan,
        "tier": record.tier,
        "status": record.status,
        "issuer": record.issuer and record.issuer.issuer,
        "audience": record.issuer and record.issuer.audience,
        "jwks_url": record.issuer and record.issuer.jwks_url,
        "single_use": record.issuer and record.issuer.single_use,
        "created_at": record.created_at.isoformat(timespec="seconds"),
    }
