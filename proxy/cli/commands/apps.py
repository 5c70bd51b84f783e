"""`tollgate apps`: create, list, show, change, suspend and resume apps, the customers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from proxy.api.admin.documents import AppChange, AppDocument, AppIdentityProvider, NewApp
from proxy.api.admin.operations.plans import check_plan
from proxy.cli.inputs import body, client_id, free_text
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.pages import oldest_first
from proxy.cli.session import operate

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
    new = NewApp(name=free_text("the name", name), plan=free_text("--plan", plan), tier=_tier(tier))
    made = operate(
        lambda operations: operations.apps.create(new), check=lambda settings: check_plan(settings, new.plan, new.tier)
    )
    print_one({**view(made), "client_secret": made.client_secret}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all apps, oldest first."""
    found = operate(lambda operations: oldest_first(operations.apps.page))
    print_many(("client_id", "name", "plan", "tier", "status", "created_at"), map(view, found), as_json)


@app.command()
def show(app_id: ClientId, as_json: Json = False) -> None:
    """Show one app."""
    wanted = client_id(app_id)
    print_one(view(operate(lambda operations: operations.apps.get(wanted))), as_json)


@app.command("plan")
def change_plan(
    app_id: ClientId,
    plan: Annotated[str | None, typer.Option(help="Name of its new plan.")] = None,
    tier: Annotated[str | None, typer.Option(help="New routing tier; empty: that of the plan.")] = None,
    as_json: Json = False,
) -> None:
    """Change plan or tier of an app, at once."""
    if plan is None and tier is None:
        bad_input("give --plan, --tier or both")
    wanted = client_id(app_id)
    changed = AppChange(plan=plan and free_text("--plan", plan), tier=_tier(tier))
    made = operate(
        lambda operations: operations.apps.change(wanted, changed),
        check=lambda settings: check_plan(settings, changed.plan, changed.tier),
    )
    print_one(view(made), as_json)


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
    given = {"issuer": issuer, "audience": audience, "jwks_url": jwks_url, "single_use": single_use}
    if no_issuer and any(given.values()):
        bad_input("--no-issuer stands alone")
    if not no_issuer and (issuer is None or audience is None):
        bad_input("give --issuer and --audience, or --no-issuer")
    provider = None if no_issuer else body(AppIdentityProvider, given)
    print_one(view(operate(lambda operations: operations.apps.set_issuer(wanted, provider))), as_json)


@app.command()
def suspend(app_id: ClientId, as_json: Json = False) -> None:
    """Refuse all requests of an app, at once, until it is resumed."""
    wanted = client_id(app_id)
    print_one(view(operate(lambda operations: operations.apps.set_status(wanted, "suspended"))), as_json)


@app.command()
def resume(app_id: ClientId, as_json: Json = False) -> None:
    """Accept requests of a suspended app again."""
    wanted = client_id(app_id)
    print_one(view(operate(lambda operations: operations.apps.set_status(wanted, "active"))), as_json)


@app.command()
def secret(app_id: ClientId, as_json: Json = False) -> None:
    """Replace the client secret of an app, at once. It is shown once and is not stored."""
    wanted = client_id(app_id)
    made = operate(lambda operations: operations.apps.rotate_secret(wanted))
    print_one({**view(made), "client_secret": made.client_secret}, as_json)


def view(document: AppDocument) -> dict[str, Any]:
    """Return what is shown of an app."""
    return {
        "client_id": document.client_id,
        "name": document.name,
        "plan": document.plan,
        "tier": document.tier,
        "status": document.status,
        "issuer": document.issuer,
        "audience": document.audience,
        "jwks_url": document.jwks_url,
        "single_use": document.single_use,
        "created_at": document.created_at.isoformat(timespec="seconds"),
    }


def _tier(tier: str | None) -> str | None:
    return tier and free_text("--tier", tier)
