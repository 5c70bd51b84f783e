"""`tollgate plans`, `status` and `reload`: the deployment itself."""

from __future__ import annotations

from typing import Any

import typer

from proxy.api.admin.ledger_documents import ServerState
from proxy.cli.output import Exit, Json, print_json, print_many, print_one
from proxy.cli.session import operate


def plans(as_json: Json = False) -> None:
    """List the plans in force, built-in ones included."""
    found = operate(lambda operations: operations.deployment.plans()).items
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    rows = [
        {"name": each.name, "version": each.version, **{name: each.terms[name] for name in ("billing", "tier")}}
        for each in found
    ]
    print_many(("name", "version", "billing", "tier"), rows, as_json)


def status(as_json: Json = False) -> None:
    """Show the state of workers, Redis and history; exit code 1 if one of the latter is not available."""
    found = operate(lambda operations: operations.deployment.status())
    _print(found, as_json=as_json)
    if not (found.redis.available and found.history.available):
        raise typer.Exit(Exit.FAILED)


def reload(as_json: Json = False) -> None:
    """Let the server at --url take a new configuration: it is checked, then workers are replaced one by one."""
    _print(operate(lambda operations: operations.deployment.reload()), as_json=as_json)


def _print(found: ServerState, *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    running = "unknown" if found.workers.running is None else found.workers.running
    lag = found.history.lag_seconds
    shown: dict[str, Any] = {
        "version": found.version,
        "workers": f"{found.workers.configured} configured, {running} running",
        "redis": found.redis.reason or "available",
        "history": found.history.reason or f"available, {lag:.0f} s behind",
    }
    print_one(shown, as_json=False)
