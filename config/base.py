"""What every configuration model shares."""

from collections.abc import Hashable, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


class Model(BaseModel):
    """A strict, immutable piece of configuration: an unknown key is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _whole(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("must be a whole number, written without a point or an exponent")
    return value


Whole = BeforeValidator(_whole)
"""Annotates integers that have to be exact: a float may have lost digits before anybody looks at it."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""What an operator calls a plan or a pool."""

Fault = tuple[tuple[str | int, ...], str]
"""Where, below the value that is being validated, and what is wrong there."""


def faults(found: Iterable[Fault], beside: ValidationError | None = None) -> ValidationError:
    """One error for a validator to raise that has several places, those of `beside` among them."""
    others = beside.errors(include_input=False, include_url=False) if beside else []
    lines = [_line(place, "fault", message) for place, message in found]
    lines += [_line(error["loc"], error["type"], error["msg"]) for error in others]
    return ValidationError.from_exception_data("configuration", lines)


def _line(place: tuple[str | int, ...], kind: str, message: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=place, input=None)


def check_distinct(identities: Iterable[Hashable], what: str) -> None:
    """Raise for each entry of a list that `what` an earlier one does; `identities` tell them apart, in order."""
    first: dict[Hashable, int] = {}
    found: list[Fault] = []
    for index, identity in enumerate(identities):
        if first.setdefault(identity, index) != index:
            found.append(((index,), f"{what} as entry {first[identity]}; keep one of them"))
    if found:
        raise faults(found)
