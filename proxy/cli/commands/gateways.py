"""`tollgate gateways`: which gateways get new work."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from proxy.api.admin.gateway_documents import GatewayDocument
from proxy.cli.output import Json, print_many, print_one
from proxy.cli.session import operate

app = typer.Typer(no_args_is_help=True, help="Gateways, and which of them get new work.")

Origin = Annotated[str, typer.Argument(metavar="GATEWAY", help="Its origin, as in the configuration.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the gateways with their pools, and which of them are drained."""
    found = operate(lambda operations: operations.gateways.list())
    print_many(("gateway", "pools", "drained", "drained_since"), map(_view, found.items), as_json)


@app.command()
def drain(gateway: Origin, as_json: Json = False) -> None:
    """Give a gateway no new work, at once, until it is resumed. What it alone has still goes to it."""
    print_one(_view(operate(lambda operations: operations.gateways.drain(gateway))), as_json)


@app.command()
def resume(gateway: Origin, as_json: Json = False) -> None:
    """Give a drained gateway new work again."""
    print_one(_view(operate(lambda operations: operations.gateways.resume(gateway))), as_json)


def _view(document: GatewayDocument) -> dict[str, Any]:
    """Return what is shown of a gateway."""
    return document.model_dump(mode="json") | {"pools": " ".join(document.pools)}
