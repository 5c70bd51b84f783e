"""Texts that name the place between two pages, so that whoever reads them needs to keep nothing."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, NamedTuple, TypeVar

import msgspec

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number that both databases hold, and Redis as a part of an entry."""
Id = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]
"""Text that both databases take."""

Place = TypeVar("Place")


class BadPlace(ValueError):
    """Text that names no place between two pages."""


class TimePlace(NamedTuple):
    """Time (Unix ms) and id of the last event of a page; an empty id: that of no event, only the time."""

    time: Number
    id: Id


def text_of(place: object) -> str:
    """Return the text that names a place."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def place_of(text: str, kind: type[Place]) -> Place:
    """Return the place of this kind that `text_of` has named. Raises `BadPlace`."""
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise BadPlace("the place of the page is not one that a page has named") from None
