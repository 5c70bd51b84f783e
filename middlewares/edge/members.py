"""Reading members of a JSON request; all raise `Refusal` (400, `invalid_parameter`) that names the member. Pure."""

from collections.abc import Mapping
from typing import Any

from middlewares.exchange import Refusal

Document = Mapping[str, Any]
"""The JSON object of a request body."""


def invalid_parameter(name: str, what: str) -> Refusal:
    """Return the refusal of a parameter with an unusable value; `what` follows its name in the sentence."""
    return Refusal(400, "invalid_parameter", f"`{name}` {what}.", members={"parameter": name})


def read_integer(document: Document, name: str, minimum: int, maximum: int) -> int | None:
    """Return a whole number from `minimum` to `maximum`; None where it is missing or null."""
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int or not minimum <= value <= maximum:
        raise invalid_parameter(name, f"must be a whole number from {minimum} to {maximum}")
    return value


def check_number(document: Document, name: str, minimum: float, maximum: float) -> None:
    """Check that the member is a number from `minimum` to `maximum`, missing or null."""
    value = document.get(name)
    if value is not None and (type(value) not in (int, float) or not minimum <= value <= maximum):
        raise invalid_parameter(name, f"must be a number from {minimum:g} to {maximum:g}")


def read_text(document: Document, name: str) -> str:
    """Return a string; empty where it is missing or null."""
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid_parameter(name, "must be a string")
    return value
