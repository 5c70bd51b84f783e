"""`tollgate audit`: who did what to which record with which result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.api.admin.operations.query import AuditQuery
from proxy.cli.inputs import client_id, free_text, moment
from proxy.cli.output import Exit, Json, bad_input, fail, print_json, print_many, print_one
from proxy.cli.session import operate
from proxy.control.audit.line import LONGEST_TEXT

if TYPE_CHECKING:
    from proxy.api.admin.audit_documents import AuditLineDocument
    from proxy.api.admin.operations.ports import Operations

app = typer.Typer(no_args_is_help=True, help="The audit log.")

MOST_LINES = 100_000
_COLUMNS = ("time", "actor_kind", "actor", "action", "target_kind", "target", "app", "result", "code")


@app.command("list")
def list_(
    *,
    app_id: Annotated[
        str | None, typer.Option("--app", metavar="CLIENT_ID", help="Client id of one app.  [default: all]")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="ID", help="Id of who acted.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="An action such as key.revoke, or key for all of its kind.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="First time in ISO 8601, in UTC unless it has an offset.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Time before which it ends.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_LINES, help="Most lines; the newest are shown.")] = 100,
    as_json: Json = False,
) -> None:
    """List audit lines, the newest last."""
    wanted = AuditQuery(
        app=client_id(app_id) if app_id is not None else None,
        actor=actor and free_text("--actor", actor, LONGEST_TEXT),
        action=action and free_text("--action", action, LONGEST_TEXT),
        since_ms=moment("--since", since) if since is not None else 0,
        until_ms=moment("--until", until) if until is not None else None,
    )
    found = operate(lambda operations: newest_lines(operations, wanted, limit))
    print_many(_COLUMNS, (each.model_dump() for each in reversed(found)), as_json)


@app.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:HASH", help="A head that an earlier run showed, which has to be a line still."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute the chain of the audit log: a line that was removed, changed, inserted or moved shows."""
    noted = _head(head) if head is not None else None
    verdict = operate(lambda operations: operations.audit.verify(noted))
    if as_json:
        print_json(verdict.model_dump())
    else:
        print_one(verdict.model_dump(exclude={"findings"}), as_json=False)
    if verdict.findings:
        fail("the audit log is not what was written: " + "; ".join(verdict.findings), Exit.FAILED)


async def newest_lines(operations: Operations, wanted: AuditQuery, limit: int) -> list[AuditLineDocument]:
    """Return the newest wanted lines, newest first."""
    found: list[AuditLineDocument] = []
    before: str | None = ""
    while before is not None and len(found) < limit:
        query = replace(wanted, before=before, limit=min(wanted.limit, limit - len(found)))
        page = await operations.audit.page(query)
        found += page.items
        before = page.next
    return found


def _head(text: str) -> str:
    from proxy.history.audit.chain import Head  # noqa: PLC0415

    try:
        Head.parse(text)
    except ValueError:
        bad_input("--head must be what an earlier `tollgate audit verify` showed: a number, a colon, 64 digits")
    return text
