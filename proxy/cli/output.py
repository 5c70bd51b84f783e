"""Output of commands: tables or JSON on standard output, one line per error on standard error.

Where nobody reads standard output any more, a command ends quietly (exit code 1, by typer); what would be said on
standard error is then not said.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from proxy.reporting.tables import csv_text

_ANY_WIDTH = 100_000

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Exit(IntEnum):
    """Exit codes of all commands."""

    FAILED = 1
    """The operation failed, for example because its object does not exist."""
    BAD_INPUT = 2
    """Wrong arguments or configuration; nothing was done."""
    NO_STORE = 3
    """Redis cannot be reached."""


def open_missing_streams() -> None:
    """Open the standard streams without which this process was started, so that no file or socket gets their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115 - for as long as the process lives
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def say_no_more() -> None:
    """Have standard error lead nowhere, because nobody reads it: what is left in its buffer would fail at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)


def report(message: object) -> None:
    """Print one line to standard error: standard output is for what the command returns.

    What cannot be printed, as it may stand in the name of a file, is escaped.
    """
    line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in f"{message}")
    try:
        typer.echo(f"tollgate: {line}", err=True)
    except OSError:  # nobody reads it, or its disk is full
        say_no_more()


def fail(message: str, code: Exit) -> NoReturn:
    """End the command with one line on standard error."""
    report(message)
    raise typer.Exit(code)


def bad_input(message: str) -> NoReturn:
    """End the command because of wrong arguments."""
    fail(message, Exit.BAD_INPUT)


def new_path(path: Path, kind: str) -> Path:
    """Return where a new file or folder is to be written, absolute; end the command where it cannot be."""
    whole = path.absolute()
    try:
        if path.exists():
            bad_input(f"{path} exists already; name a new {kind}")
        if not whole.parent.is_dir():
            bad_input(f"{whole.parent} is no folder")
    except OSError as error:
        bad_input(f"{path} cannot be the name of a {kind}: {error.strerror}")
    return whole


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_one(members: Mapping[str, object], as_json: bool) -> None:
    """Print one object, as JSON or a line per member, without members that are None or empty."""
    if as_json:
        print_json(members)
        return
    width = max(map(len, members)) + 2
    for name, value in members.items():
        if text := _text(value):
            typer.echo(f"{name + ':':<{width}}{text}")


def print_many(columns: Sequence[str], members: Iterable[Mapping[str, object]], as_json: bool) -> None:
    """Print objects, as a JSON array or as a table of these columns."""
    if as_json:
        print_json(list(members))
    else:
        print_table(columns, ([each[column] for column in columns] for each in members))


def print_csv(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    """Print a table as CSV, byte for byte (`echo` would remove control characters)."""
    sys.stdout.buffer.write(csv_text(header, rows).encode())
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; None is an empty cell. In a pipe, it is as wide as its content."""
    from rich.console import Console  # noqa: PLC0415 - only who prints tables waits for it to load
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(Text(_text(cell)) for cell in row))
    console = Console()
    if not sys.stdout.isatty():
        console.width = Console(width=_ANY_WIDTH).measure(table).maximum
    console.print(table)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
