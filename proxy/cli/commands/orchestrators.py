"""`tollgate orchestrators`: the live block list of the lists that gateways fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.webhooks import orchestrator_address
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.session import CommandSession, run

if TYPE_CHECKING:
    from proxy.control.blocked_orchestrators import BlockedOrchestrators

app = typer.Typer(no_args_is_help=True, help="Orchestrators that no tier may use.")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Its https origin, as `https://host:port`.")]


@app.command()
def block(address: Address, as_json: Json = False) -> None:
    """Leave an orchestrator out of the lists of all tiers, from the next fetch of a gateway on."""
    wanted = _address(address)

    async def work(session: CommandSession) -> bool:
        async with session.act("orchestrator.block", "orchestrator") as act:
            act.detail |= {"orchestrator": wanted}
            return await _blocked(session).block(wanted)

    changed = run(work)
    print_one({"address": wanted, "blocked": True, "changed": changed}, as_json)


@app.command()
def unblock(address: Address, as_json: Json = False) -> None:
    """List an orchestrator again."""
    wanted = _address(address)

    async def work(session: CommandSession) -> bool:
        async with session.act("orchestrator.unblock", "orchestrator") as act:
            act.detail |= {"orchestrator": wanted}
            return await _blocked(session).unblock(wanted)

    changed = run(work)
    print_one({"address": wanted, "blocked": False, "changed": changed}, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the orchestrators that are blocked."""
    found = run(lambda session: _blocked(session).addresses())
    print_many(("address",), ({"address": each} for each in sorted(found)), as_json)


def _blocked(session: CommandSession) -> BlockedOrchestrators:
    from proxy.control.blocked_orchestrators import BlockedOrchestrators  # noqa: PLC0415

    return BlockedOrchestrators(session.store.redis)


def _address(text: str) -> str:
    try:
        return orchestrator_address(text)
    except ValueError as error:
        bad_input(f"ADDRESS {error}")
