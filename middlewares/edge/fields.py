"""Reading members of a JSON request; all raise `Refusal` (400, `invalid_parameter`) that names the member. Pure."""

from collections.abc import Mapping
from typing import Any

from middlewares.exchange import Refusal

Document = Mapping[str, Any]


def invalid(name: str, what: str) -> Refusal:
    """A parameter with an unusable value; `what` goes on after its name."""
    return Refusal(400, "invalid_parameter", f"`{name}` {what}.", members={"parameter": name})


def integer(document: Document, name: str, least: int, most: int) -> int | None:
    """A whole number from `least` to `most`; None where it is missing or null."""
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise invalid(name, f"must be a whole number from {least} to {most}")
    return value


def number(document: Document, name: str, least: float, most: float) -> None:
    """Check that it is a number from `least` to `most`, missing or null."""
    value = document.get(name)
    if value is not None and (type(value) not in (int, float) or not least <= value <= most):
        raise invalid(name, f"must be a number from {least:g} to {most:g}")


def text(document: Document, name: str) -> str:
    """A string; empty where it is missing or null."""
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(name, "must be a string")
    return value
