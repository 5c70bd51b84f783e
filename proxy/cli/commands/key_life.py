"""`tollgate keys change`, `show` and `scan`: the life of a key between its creation and its end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from middlewares.auth.leaks import leaks_in
from proxy.api.keys.models import ChangedKey
from proxy.cli.inputs import body, free_text, key_id
from proxy.cli.key_options import (
    DescriptionOption,
    OriginOption,
    RaiseForOption,
    RaiseOption,
    RaiseUntilOption,
    StreamOption,
    increase_by,
    with_limits,
)
from proxy.cli.key_view import for_table, view_of
from proxy.cli.output import Exit, Json, bad_input, print_json, print_one, report
from proxy.cli.session import operate
from proxy.control.key_changes import LimitChange

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, not the key itself.")]
STANDARD_INPUT = "-"


@with_limits
def change(
    changed: KeyId,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the key.")] = None,
    description: DescriptionOption = None,
    limits: LimitChange,
    raised: RaiseOption = None,
    raise_for: RaiseForOption = None,
    raise_until: RaiseUntilOption = None,
    end_raise: Annotated[bool, typer.Option("--end-raise", help="End a temporary increase now.")] = False,
    origin: OriginOption = None,
    any_origin: Annotated[bool, typer.Option("--any-origin", help="Limit it to no web pages any more.")] = False,
    stream: StreamOption = None,
    any_stream: Annotated[bool, typer.Option("--any-stream", help="Limit it to no streams any more.")] = False,
    as_json: Json = False,
) -> None:
    """Change what is given of a key, at once, in every running worker. What is left out stays.

    Limits also change for the keys before it that still work, because they share its counters.
    """
    wanted = key_id(changed)
    members = {
        "name": None if name is None else free_text("--name", name),
        "description": description,
        "limits": limits or None,
        "increase": increase_by(raised, raise_for, raise_until),
        "origins": [] if any_origin and not origin else origin,
        "streams": [] if any_stream and not stream else stream,
    }
    given: dict[str, Any] = {member: value for member, value in members.items() if value is not None}
    if end_raise:
        given.setdefault("increase", None)
    if not given:
        bad_input("say what to change; `tollgate keys change --help` lists it")
    new = body(ChangedKey, given)
    shown = view_of(operate(lambda operations: operations.keys.change(wanted, new)))
    print_one(shown if as_json else for_table(shown), as_json)


def show(shown_key: KeyId, as_json: Json = False) -> None:
    """Show a key: what it may do, how much, and when it was last used."""
    wanted = key_id(shown_key)
    shown = view_of(operate(lambda operations: operations.keys.get(wanted)))
    print_one(shown if as_json else for_table(shown), as_json)


def scan(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of any kind; `-` is standard input.")],
    as_json: Json = False,
) -> None:
    """Find leaked keys and secrets in files, without Redis and without printing them. Exit code 1: some were found."""
    found: list[dict[str, Any]] = []
    unreadable = False
    for name in files:
        try:
            if name == STANDARD_INPUT:
                found += _scanned("standard input", sys.stdin.buffer)
            else:
                with Path(name).open("rb") as file:
                    found += _scanned(name, file)
        except OSError as error:
            unreadable = True
            report(f"{name}: {error.strerror}")
    if as_json:
        print_json(found)
    else:
        for each in found:
            typer.echo(f"{each['file']}:{each['line']}: {each['kind']}" + (f" {each['id']}" if each["id"] else ""))
    if found:
        raise typer.Exit(Exit.FAILED)
    if unreadable:
        raise typer.Exit(Exit.BAD_INPUT)


def _scanned(name: str, file: BinaryIO) -> list[dict[str, Any]]:
    return [{"file": name, "line": leak.line, "kind": leak.kind, "id": leak.id} for leak in leaks_in(file.read)]
