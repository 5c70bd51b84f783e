"""The length of a sound file."""

from __future__ import annotations

from typing import NamedTuple


class Length(NamedTuple):
    """How long it lasts."""

    milliseconds: int
    exact: bool = True
    """False: from an average over a part of the file."""
