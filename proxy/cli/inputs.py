"""Arguments that several commands take, and their validation.

An id that does not look like one is not repeated in the error: it may be a secret that was pasted in the wrong place.
"""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from config.base import plain_words
from config.loader import Problem
from config.networks import parse_network
from config.settings import Settings
from proxy.cli.output import bad_input
from proxy.reporting.dates import unix_ms

_ID = "[a-z2-7]{16}"
_CLIENT_ID = re.compile(f"app_{_ID}")
_KEY_ID = re.compile(_ID)
_USER_ID = re.compile(f"usr_{_ID}")
_DEVELOPER_ID = re.compile(f"dev_{_ID}")
_DURATION = re.compile(r"([1-9]\d{0,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST_SECONDS = 100 * 366 * 86_400
"""A hundred years: calendars end, and nothing of Tollgate lasts longer."""


Body = TypeVar("Body", bound=BaseModel)


class ReportFormat(StrEnum):
    """Formats of usage and statements."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def client_id(text: str) -> str:
    """Return `text` if it is a client id, as `apps create` prints them."""
    if not _CLIENT_ID.fullmatch(text):
        bad_input("that is no client id; one looks like app_ and 16 characters, and `tollgate apps list` shows them")
    return text


def key_id(text: str) -> str:
    """Return `text` if it is a key id, as `keys create` prints them."""
    if not _KEY_ID.fullmatch(text):
        bad_input("that is no key id; one has 16 characters, and `tollgate keys list` shows them (a key is no key id)")
    return text


def user_id(text: str | None) -> str | None:
    """Return `text` if it is None or a user id, as `users create` prints them."""
    return text if text is None else required_user_id(text)


def required_user_id(text: str) -> str:
    """Return `text` if it is a user id."""
    if not _USER_ID.fullmatch(text):
        bad_input("that is no user id; one looks like usr_ and 16 characters, and `tollgate users list` shows them")
    return text


def developer_id(text: str) -> str:
    """Return `text` if it is a developer id, as `developers add` prints them."""
    if not _DEVELOPER_ID.fullmatch(text):
        bad_input(
            "that is no developer id; one looks like dev_ and 16 characters, and `tollgate developers list` shows them"
        )
    return text


def operator_id(text: str) -> str:
    """Return `text` if it is an operator id, as `operators create` prints them."""
    if not _KEY_ID.fullmatch(text):
        bad_input("that is no operator id; one has 16 characters, and `tollgate operators list` shows them")
    return text


def wallet(text: str) -> str:
    """Return `text` if it is the address of a wallet; in mixed case it must have its checksum (EIP-55)."""
    from proxy.identity.siwe.address import checked_address  # noqa: PLC0415

    try:
        return checked_address(text)
    except ValueError as error:
        bad_input(str(error))


def free_text(what: str, text: str, longest: int = 100) -> str:
    """Return `text` if it is 1 to `longest` characters without control characters, which could confuse a terminal."""
    if not 1 <= len(text) <= longest or not text.isprintable():
        bad_input(f"{what} must have 1 to {longest} characters and no control characters")
    return text


def body(kind: type[Body], members: dict[str, Any]) -> Body:
    """Return the body of a request with these members, each the value of the option of its name.

    An error names the option; what that does not take is not repeated.
    """
    try:
        return kind.model_validate(members)
    except ValidationError as error:
        bad_input("; ".join(f"{_option(each['loc'])} {plain_words(each['msg'])}".strip() for each in error.errors()))


def _option(place: tuple[int | str, ...]) -> str:
    """Return the option of a place in a body: `--origin` for `origins.0`, `--raise concurrent` for `increase`'s."""
    names = [str(part).replace("_", "-") for part in place if isinstance(part, str)]
    if not names:
        return ""
    if names[0] == "increase":
        return "--raise-until" if names[-1] == "until" else f"--raise {names[-1]}"
    return f"--{names[-1].removesuffix('s') if len(names) < len(place) else names[-1]}"


def network(text: str) -> str:
    """Return `text` as an IP network such as 10.0.0.0/8; an address is a network of one."""
    try:
        return str(parse_network(text))
    except ValueError as error:
        bad_input(f"--cidr: {error}")


def duration(what: str, text: str, longest: int = _LONGEST_SECONDS) -> timedelta:
    """Return the length of time that `text` names, such as 30d, of at most `longest` seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        bad_input(f"{what} must be a whole number and one of s, m, h, d, w, for example 30d")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > longest:
        bad_input(f"{what} may be {longest // _SECONDS['d']} days at most")
    return timedelta(seconds=seconds)


def expiry(within: str | None, at: str | None) -> datetime | None:
    """Return the time of expiry by `--expires-in` or `--expires-at`; None: never."""
    if within is not None and at is not None:
        bad_input("give either --expires-in or --expires-at, not both")
    now = datetime.now(UTC)
    if within is not None:
        return now + duration("--expires-in", within)
    if at is None:
        return None
    when = _time(at)
    if when is None:
        bad_input("--expires-at must be a date or time in ISO 8601, for example 2027-01-31 or 2027-01-31T12:00:00Z")
    if when <= now:
        bad_input("--expires-at is in the past")
    return when


def moment(what: str, text: str) -> int:
    """Return the time that `text` names in ISO 8601, in Unix milliseconds."""
    when = _time(text)
    if when is None:
        bad_input(f"{what} must be a date or time in ISO 8601, for example 2027-01-31 or 2027-01-31T12:00:00Z")
    return unix_ms(when)


def _time(text: str) -> datetime | None:
    """Return the time that `text` names in ISO 8601, in UTC unless it has an offset; None if it names none."""
    try:
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def chosen_format(form: ReportFormat | None, as_json: bool) -> ReportFormat:
    """Return the format by `--format` and `--json`, its short form."""
    if as_json and form not in (None, ReportFormat.JSON):
        bad_input("give either --json or --format, not both")
    return ReportFormat.JSON if as_json else form or ReportFormat.TABLE


AppOption = Annotated[str, typer.Option("--app", metavar="CLIENT_ID", help="Client id of the app.")]
FormatOption = Annotated[ReportFormat | None, typer.Option("--format", help="Format of the output.  [default: table]")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day in UTC, such as 2026-11-01.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day in UTC, included.")]


def history_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong with the address of the history, without connecting."""
    from proxy.history.engine import BadAddress, parse  # noqa: PLC0415

    try:
        parse(settings.history_url.get_secret_value() if settings.history_url else None, settings.data_dir)
    except BadAddress as error:
        return [Problem("history_url", str(error))]
    return []
