"""The texts that name places come back from whoever reads pages, and so may be anything."""

from __future__ import annotations

import re

import msgspec
import pytest

from proxy.history.audit.reader import parse_token
from proxy.history.pages import EventPlace
from proxy.history.places import BadPlace, TimePlace, place_of, text_of

EVENT = EventPlace(
    "server", 0, 7, 1_790_000_000_000, 3, archived=False, skipped=(0, 0), position=(1_790_000_000_000, 1)
)
BEYOND = (2**63, 2**64 - 1, -1, -(2**63))
"""Numbers that a message may have, and no time or entry has; a database refuses the first two."""


@pytest.mark.parametrize("place", [TimePlace(0, ""), TimePlace(1_790_000_000_000, "one"), EVENT])
def test_a_place_comes_back(place: TimePlace | EventPlace) -> None:
    assert place_of(text_of(place), type(place)) == place


@pytest.mark.parametrize("number", BEYOND)
def test_a_number_that_no_database_holds_is_no_place(number: int) -> None:
    """Hazard: the query fails with what is no error of the database, and the page with it."""
    places: list[TimePlace | EventPlace] = [TimePlace(number, "one")]
    places += [msgspec.structs.replace(EVENT, **{name: number}) for name in ("above", "up_to", "time", "seq")]
    places += [msgspec.structs.replace(EVENT, **{name: (0, number)}) for name in ("skipped", "position")]
    for place in places:
        with pytest.raises(BadPlace):
            place_of(text_of(place), type(place))


def test_an_id_with_a_nul_is_no_place() -> None:
    """Hazard: PostgreSQL takes no text with one."""
    with pytest.raises(BadPlace):
        place_of(text_of(TimePlace(1, "one\0")), TimePlace)


@pytest.mark.parametrize("text", ["", "x", "é", "gA", "=", text_of([1]), text_of("a"), text_of(["a", "b"])])
def test_any_other_text_is_no_place(text: str) -> None:
    for kind in (TimePlace, EventPlace):
        with pytest.raises(BadPlace):
            place_of(text, kind)


@pytest.mark.parametrize(
    "text",
    [f"{2**63}-1-one", f"1-{2**64}-one", "1-1-one\0", "1-1-", "1-1", "-1-1-one", "\u0661-1-one", f"1-1-{'a' * 100}"],
)
def test_a_place_that_no_line_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("Expected the place of a line")):
        parse_token(text)
