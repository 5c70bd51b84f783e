"""`tollgate webhooks`: endpoints of notifications about limits, balances, keys, statements, streams and pools."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from middlewares.auth.keys import is_id
from proxy.api.webhooks.models import (
    LONGEST_OVERLAP_SECONDS,
    ChangedWebhook,
    DeliveryView,
    NewWebhook,
    SecretRotation,
    WebhookView,
)
from proxy.cli.inputs import body, client_id, duration
from proxy.cli.output import Exit, Json, bad_input, fail, print_many, print_one
from proxy.cli.session import operate
from proxy.webhooks.notifications.notification import NotificationKind

app = typer.Typer(no_args_is_help=True, help="Endpoints that webhooks are sent to.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK_ID", help="Id of the endpoint.")]
AppOption = Annotated[
    str | None,
    typer.Option("--app", metavar="CLIENT_ID", help="App whose endpoints are meant. Default: the operator's own."),
]
NewKinds = Annotated[
    list[NotificationKind] | None, typer.Option("--kind", help="Kind of notifications; several times. Default: all.")
]
Kinds = Annotated[
    list[NotificationKind] | None,
    typer.Option("--kind", help="Kind of notifications from now on, in place of those before; several times."),
]
Below = Annotated[str | None, typer.Option(metavar="AMOUNT", help="Atomic units below which `balance.low` is sent.")]


@app.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where webhooks are sent; https.")],
    *,
    app_id: AppOption = None,
    kind: NewKinds = None,
    balance_below: Below = None,
    description: Annotated[str, typer.Option(help="A remark, for people.")] = "",
    as_json: Json = False,
) -> None:
    """Register a URL. Its secret is shown once."""
    owner = None if app_id is None else client_id(app_id)
    members = {"url": url, "kinds": kind or [], "balance_below": balance_below, "description": description}
    new = body(NewWebhook, members)
    made = operate(lambda operations: operations.webhooks.create(owner, new))
    print_one({"secret": made.secret, **view(made)}, as_json)


@app.command("list")
def list_(app_id: AppOption = None, as_json: Json = False) -> None:
    """List the endpoints of an app, or of the operator."""
    owner = None if app_id is None else client_id(app_id)
    found = operate(lambda operations: operations.webhooks.list(owner))
    print_many(("webhook_id", "url", "status", "kinds", "created_at"), map(view, found.webhooks), as_json)


@app.command()
def change(
    webhook_id: WebhookId,
    *,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where webhooks are sent from now on.")] = None,
    kind: Kinds = None,
    balance_below: Below = None,
    description: Annotated[str | None, typer.Option(help="A remark, for people.")] = None,
    pause: Annotated[
        bool | None, typer.Option("--pause/--resume", help="Let what is for it wait, or send it.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what is named of an endpoint. What is left out stays."""
    named = _id(webhook_id)
    status = None if pause is None else "paused" if pause else "active"
    wanted = {
        "url": url,
        "kinds": kind,
        "balance_below": balance_below,
        "description": description,
        "status": status,
    }
    changed = body(ChangedWebhook, {name: value for name, value in wanted.items() if value is not None})
    print_one(view(operate(lambda operations: operations.webhooks.change(named, changed))), as_json)


@app.command()
def remove(webhook_id: WebhookId, as_json: Json = False) -> None:
    """Remove an endpoint, and what waits for it."""
    named = _id(webhook_id)
    print_one(view(operate(lambda operations: operations.webhooks.remove(named))), as_json)


@app.command()
def rotate(
    webhook_id: WebhookId,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="Time for which webhooks carry the signatures of both secrets.")
    ] = "24h",
    as_json: Json = False,
) -> None:
    """Replace the secret of an endpoint. The new one is shown once."""
    named, lasting = _id(webhook_id), duration("--overlap", overlap, LONGEST_OVERLAP_SECONDS)
    rotation = SecretRotation(overlap_seconds=lasting // timedelta(seconds=1))
    made = operate(lambda operations: operations.webhooks.rotate_secret(named, rotation))
    print_one({"secret": made.secret, **view(made)}, as_json)


@app.command("test")
def send_test(webhook_id: WebhookId, as_json: Json = False) -> None:
    """Send a test webhook now, once; exit code 1 if it is not taken."""
    named = _id(webhook_id)
    found = operate(lambda operations: operations.webhooks.test(named))
    if not found.delivered:
        fail(f"the endpoint did not take it: {found.error}", Exit.FAILED)
    print_one(found.model_dump(), as_json)


@app.command()
def deliveries(
    webhook_id: WebhookId,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List what was sent to an endpoint or waits for it, the latest first."""
    named = _id(webhook_id)
    found = operate(lambda operations: operations.webhooks.deliveries(named, None, limit))
    columns = ("id", "kind", "created_at", "state", "attempts", "status", "error")
    print_many(columns, map(delivery_view, found.deliveries), as_json)


@app.command()
def replay(
    webhook_id: WebhookId,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY_ID", help="Id of the webhook, as `msg_...`.")],
    as_json: Json = False,
) -> None:
    """Send a webhook again, under the same id."""
    named = _id(webhook_id)
    print_one(delivery_view(operate(lambda operations: operations.webhooks.replay(named, delivery_id))), as_json)


def view(document: WebhookView) -> dict[str, Any]:
    """Return what is shown of an endpoint."""
    shown = WebhookView.model_validate(document.model_dump()).model_dump()
    return {**shown, "created_at": document.created_at.isoformat(timespec="seconds")}


def delivery_view(document: DeliveryView) -> dict[str, Any]:
    """Return what is shown of a delivery."""
    return document.model_dump(mode="json")


def _id(text: str) -> str:
    if not is_id(text):
        bad_input("WEBHOOK_ID has 16 characters; `tollgate webhooks list` shows them")
    return text
