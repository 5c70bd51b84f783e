"""`tollgate attention`: events that a person should look at, and decisions about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from middlewares.ledger.credit.prepaid import LONGEST_TEXT
from proxy.api.admin.ledger_documents import AttentionItem, Decision, ResolutionRequest
from proxy.api.admin.operations.query import EventQuery
from proxy.cli.inputs import AppOption, FromOption, ToOption, client_id, free_text
from proxy.cli.output import Json, bad_input, print_many, print_one
from proxy.cli.session import operate
from proxy.reporting.dates import BadDate, parse_day

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import Operations

app = typer.Typer(no_args_is_help=True, help="Events that a person should look at.")

LONGEST_ID = 600


@app.command("list")
def list_(
    *,
    app_id: AppOption,
    first: FromOption = None,
    last: ToOption = None,
    every: Annotated[bool, typer.Option("--all", help="Show those that are decided, too.")] = False,
    as_json: Json = False,
) -> None:
    """List the events of an app that need attention and are not decided yet."""
    wanted = client_id(app_id)
    try:
        days = [parse_day(each).isoformat() if each else None for each in (first, last)]
    except BadDate as error:
        bad_input(str(error))

    async def work(operations: Operations) -> list[AttentionItem]:
        query, found, more = EventQuery(first=days[0], last=days[1]), list[AttentionItem](), True
        while more:
            page = await operations.events.attention(wanted, query)
            found += [each for each in page.items if every or each.resolution is None]
            query, more = replace(query, after=page.next), page.more
        return found

    columns = ("event", "time", "outcome", "plan", "amount", "reserved", "decision")
    print_many(columns, map(view, operate(work)), as_json)


@app.command()
def resolve(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="Id of the event.")],
    *,
    app_id: AppOption,
    decision: Annotated[
        Decision,
        typer.Option(help="refund what was charged, accept it as it is, or charge what was reserved."),
    ],
    note: Annotated[str, typer.Option(help="A remark that is kept with the decision.")] = "",
    as_json: Json = False,
) -> None:
    """Decide about an event that needs attention, once and for good."""
    owner, wanted = client_id(app_id), free_text("EVENT_ID", event_id, LONGEST_ID)
    request = ResolutionRequest(decision=decision, note=note and free_text("--note", note, LONGEST_TEXT))
    made = operate(lambda operations: operations.events.resolve(owner, wanted, request))
    print_one(made.model_dump(mode="json"), as_json)


def view(item: AttentionItem) -> dict[str, Any]:
    """Return what is shown of an event that needs attention."""
    event = item.event.model_dump(mode="json")
    return {
        "event": event["id"],
        **{name: event[name] for name in ("time", "user", "workload", "model", "outcome", "plan", "amount")},
        "reserved": item.reserved,
        "decision": item.resolution.decision.value if item.resolution else None,
        "adjusted_by": item.resolution.amount if item.resolution else None,
    }
