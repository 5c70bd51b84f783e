"""Options that say what a key may use, and their validation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from middlewares.ledger.admission.key_limits import Increase
from proxy.cli.inputs import duration, moment
from proxy.cli.output import bad_input
from proxy.control.key_changes import COUNTS, MONEY, KeyChange, LimitChange, UnusableMember, increase_of

NONE = "none"
"""Word that removes a limit."""

_MONEY_HELP = "Most money in {}, in atomic units of the currency; `none` removes it."
RequestsOption = Annotated[
    str | None, typer.Option("--requests-per-minute", metavar="N", help="Most requests in 60 s; `none` removes it.")
]
ConcurrentOption = Annotated[
    str | None, typer.Option("--concurrent", metavar="N", help="Most requests at once; `none` removes it.")
]
DayOption = Annotated[
    str | None, typer.Option("--spend-per-day", metavar="AMOUNT", help=_MONEY_HELP.format("a day (UTC)"))
]
MonthOption = Annotated[
    str | None, typer.Option("--spend-per-month", metavar="AMOUNT", help=_MONEY_HELP.format("a month (UTC)"))
]
TotalOption = Annotated[str | None, typer.Option("--spend-total", metavar="AMOUNT", help=_MONEY_HELP.format("all"))]
RaiseOption = Annotated[
    list[str] | None,
    typer.Option("--raise", metavar="LIMIT=N", help="Raise a limit for some time, as spend-per-day=500; repeatable."),
]
RaiseForOption = Annotated[
    str | None, typer.Option("--raise-for", metavar="DURATION", help="How long, for example 2h.")
]
RaiseUntilOption = Annotated[str | None, typer.Option("--raise-until", metavar="TIME", help="Until when, in ISO 8601.")]
OriginOption = Annotated[
    list[str] | None,
    typer.Option("--origin", metavar="ORIGIN", help="Allow only web pages of this origin; may be repeated."),
]
StreamOption = Annotated[
    list[str] | None, typer.Option("--stream", metavar="NAME", help="Allow only this stream; may be repeated.")
]
DescriptionOption = Annotated[str | None, typer.Option("--description", help="What the key is for, for people.")]


def limits_of(given: dict[str, str | None]) -> LimitChange:
    """Return the limits that were given, by the names of `KeyLimits`."""
    return {name: _value(name, text) for name, text in given.items() if text is not None}


def increase_by(raised: list[str] | None, within: str | None, until: str | None) -> Increase | None:
    """Return the temporary increase by `--raise` and its end; None: none was given."""
    if not raised:
        if within or until:
            bad_input("--raise-for and --raise-until need --raise")
        return None
    if (within is None) == (until is None):
        bad_input("--raise needs an end: give either --raise-for or --raise-until")
    if within is not None:
        ends = datetime.now(UTC) + duration("--raise-for", within)
    else:
        ends = datetime.fromtimestamp(moment("--raise-until", until or "") / 1000, UTC)
    limits = {}
    for each in raised:
        label, _, text = each.partition("=")
        name = label.replace("-", "_")
        if name not in (*COUNTS, *MONEY) or not text:
            known = ", ".join(each.replace("_", "-") for each in (*COUNTS, *MONEY))
            bad_input(f"--raise takes a limit and its value, as concurrent=20; limits are {known}")
        limits[name] = _value(name, text)
    try:
        return increase_of(limits, ends)
    except UnusableMember as error:
        refuse(error)


def refuse(error: UnusableMember) -> NoReturn:
    """End the command for a value that the service does not take."""
    bad_input(str(error))


def _value(name: str, text: str) -> int | str | None:
    if text == NONE:
        return None
    if not text.isascii() or not text.isdecimal():
        bad_input(f"--{name.replace('_', '-')} must be a whole number or `{NONE}`")
    return text if name in MONEY else int(text[:20])


def narrowing(description: str | None, origins: list[str] | None, streams: list[str] | None) -> KeyChange:
    """Return these members as far as they were given."""
    members: KeyChange = {}
    if description is not None:
        members["description"] = description
    if origins is not None:
        members["origins"] = origins
    if streams is not None:
        members["streams"] = streams
    return members
