"""Options that say what a key may use, and their validation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any

import typer

from proxy.cli.inputs import duration, moment
from proxy.cli.output import bad_input
from proxy.control.key_changes import MONEY

NONE = "none"
"""Word that removes a limit."""

_LIMITS = {
    "requests_per_minute": ("N", "Most requests in 60 s"),
    "concurrent": ("N", "Most requests at once"),
    "spend_per_day": ("AMOUNT", "Most money in a day (UTC), in atomic units of the currency"),
    "spend_per_month": ("AMOUNT", "Most money in a month (UTC), in atomic units of the currency"),
    "spend_total": ("AMOUNT", "Most money in all, in atomic units of the currency"),
}
"""What the options of limits take, and their help, by the names of `KeyLimits`."""

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


def with_limits(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each limit, in place of its parameter `limits`, which takes those that were given.

    `limits` is a dict by the names of `KeyLimits`, with None for a limit that is removed.
    """
    shape = signature(command, eval_str=True)
    options = [_option(name, metavar, text) for name, (metavar, text) in _LIMITS.items()]
    parameters = [
        each for known in shape.parameters.values() for each in (options if known.name == "limits" else [known])
    ]

    @wraps(command)
    def taking_options(**values: Any) -> None:
        given = {name: text for name in _LIMITS if (text := values.pop(name)) is not None}
        command(**values, limits={name: _value(name, text) for name, text in given.items()})

    vars(taking_options)["__signature__"] = shape.replace(parameters=parameters)
    return taking_options


def _option(name: str, metavar: str, text: str) -> Parameter:
    info = typer.Option(_flag(name), metavar=metavar, help=f"{text}; `{NONE}` removes it.")
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, info])


def increase_by(raised: list[str] | None, within: str | None, until: str | None) -> dict[str, Any] | None:
    """Return the members of the temporary increase by `--raise` and its end; None: none was given."""
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
    members: dict[str, Any] = {"until": ends}
    for each in raised:
        label, _, text = each.partition("=")
        name = label.replace("-", "_")
        if name not in _LIMITS or not text:
            known = ", ".join(_flag(each)[2:] for each in _LIMITS)
            bad_input(f"--raise takes a limit and its value, as concurrent=20; limits are {known}")
        members[name] = _value(name, text)
    return members


def _value(name: str, text: str) -> int | str | None:
    if text == NONE:
        return None
    if not text.isascii() or not text.isdecimal():
        bad_input(f"{_flag(name)} must be a whole number or `{NONE}`")
    return text if name in MONEY else int(text[:20])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
