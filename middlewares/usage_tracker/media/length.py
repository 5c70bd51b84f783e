"""The duration of an audio file."""

from __future__ import annotations

from typing import NamedTuple


class Length(NamedTuple):
    """Duration of an audio file."""

    milliseconds: int
    exact: bool = True
    """False if it is extrapolated from a part of the file."""
