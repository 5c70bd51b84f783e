"""The base model of all settings, shared field types, and errors that name several places."""

import re
from collections.abc import Hashable, Iterable, Iterator
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

_FIRST_WORDS = re.compile(r"^(Value error, |[A-Z]\w+ should )")
_HOW_IT_FAILED = re.compile(r", unable to parse string as an? \w+$")


def plain_words(message: str) -> str:
    """Return a message of pydantic as one says it of a value: `must be ...`, without its word for what the value is."""
    message = _HOW_IT_FAILED.sub("", message)
    return _FIRST_WORDS.sub(lambda words: "" if words[1].startswith("Value error") else "must ", message)


class Model(BaseModel):
    """A strict, immutable piece of configuration: an unknown key is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        return no_truth_for_a_number(cls, value, info.field_name or "")


def no_truth_for_a_number(model: type[BaseModel], value: Any, name: str) -> Any:
    """Return the value of a member. Raises `ValueError` for true and false in the place of a number.

    Pydantic takes them for 1 and 0.
    """
    if isinstance(value, bool):
        kinds = list(_kinds(model.model_fields[name].annotation))
        if bool not in kinds and (int in kinds or float in kinds):
            _number(value)
    return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that it is made of."""
    yield annotation
    for each in get_args(annotation):
        yield from _kinds(each)


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number or a fraction, not true or false, as yes and no are to YAML")
    return value


Number = BeforeValidator(_number)
"""Annotation of numbers outside a `Model`, which has it for all: refuses true and false, 1 and 0 to Pydantic."""


def _whole(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("must be a whole number, written without a point or an exponent")
    return value


Whole = BeforeValidator(_whole)
"""Annotation of integers that have to be exact: refuses floats, which may have lost digits when they were parsed."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Name that an operator gives to a plan, a pool or a tier."""

Fault = tuple[tuple[str | int, ...], str]
"""One error: its path below the value being validated, and its message."""


def faults(found: Iterable[Fault], beside: ValidationError | None = None) -> ValidationError:
    """Return one error for a validator to raise that names all of `found`, and the errors of `beside`."""
    others = beside.errors(include_input=False, include_url=False) if beside else []
    lines = [_line(place, "fault", message) for place, message in found]
    lines += [_line(error["loc"], error["type"], error["msg"]) for error in others]
    return ValidationError.from_exception_data("configuration", lines)


def _line(place: tuple[str | int, ...], kind: str, message: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=place, input=None)


def check_distinct(identities: Iterable[Hashable], what: str) -> None:
    """Raise an error for every entry of a list whose identity an earlier entry has.

    `identities` has one item for each entry, in order; `what` says what the two share: "has the same name".
    """
    first: dict[Hashable, int] = {}
    found: list[Fault] = []
    for index, identity in enumerate(identities):
        if first.setdefault(identity, index) != index:
            found.append(((index,), f"{what} as entry {first[identity]}; keep one of them"))
    if found:
        raise faults(found)
