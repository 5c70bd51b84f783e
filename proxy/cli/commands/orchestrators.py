"""`tollgate orchestrators`: the live block list of the lists that gateways fetch."""

from __future__ import annotations

from typing import Annotated

import typer

from config.webhooks import orchestrator_address
from proxy.api.admin.people_documents import OrchestratorAddress
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.session import operate

app = typer.Typer(no_args_is_help=True, help="Orchestrators that no tier may use.")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Its https origin, as `https://host:port`.")]


@app.command()
def block(address: Address, as_json: Json = False) -> None:
    """Leave an orchestrator out of the lists of all tiers, from the next fetch of a gateway on."""
    wanted = _address(address)
    print_one(operate(lambda operations: operations.orchestrators.block(wanted)).model_dump(), as_json)


@app.command()
def unblock(address: Address, as_json: Json = False) -> None:
    """List an orchestrator again."""
    wanted = _address(address)
    print_one(operate(lambda operations: operations.orchestrators.unblock(wanted)).model_dump(), as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the orchestrators that are blocked."""
    found = operate(lambda operations: operations.orchestrators.list())
    print_many(("address",), ({"address": each} for each in found.items), as_json)


def _address(text: str) -> OrchestratorAddress:
    try:
        return OrchestratorAddress(address=orchestrator_address(text))
    except ValueError as error:
        bad_input(f"ADDRESS {error}")
