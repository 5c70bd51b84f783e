"""What pages say is missing is missing: in the list of what is not there yet, and in any sentence about a command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from typer.core import TyperGroup

from tests.docs.pages import PAGES, ROOT, section, sentences
from tests.docs.shell import TOLLGATE


def _no_admin_path() -> bool:
    sources = [path.read_text() for folder in ("server", "api") for path in (ROOT / "proxy" / folder).rglob("*.py")]
    return not any('"/admin' in source for source in sources)


ABSENT: dict[str, Callable[[], bool]] = {
    "Administrative API": _no_admin_path,
}
"""Each entry of "Not there yet", and whether it is still true."""

NEGATION = re.compile(r"\b(not|no|cannot|never|nor|neither|without|missing|yet|lacks?)\b|n't\b", re.IGNORECASE)
COMMON = frozenset({"list", "show"})
"""Commands whose names are words of every other sentence."""


def test_what_is_listed_as_missing_is_missing() -> None:
    listed = re.findall(r"^- \*\*(.+?)\*\*", section("README.md", "Not there yet"), re.MULTILINE)
    assert sorted(listed) == sorted(ABSENT)
    for name in listed:
        assert ABSENT[name](), f"{name} is there by now"


def subjects() -> Iterator[tuple[str, list[str]]]:
    """Yield each command, and the stems of words that a sentence about it has: `keys rotate` is `key` and `rotat`."""
    assert isinstance(TOLLGATE, TyperGroup)
    for name, command in TOLLGATE.commands.items():
        if isinstance(command, TyperGroup):
            for below in command.commands.keys() - COMMON:
                yield f"{name} {below}", [name.rstrip("s"), below.rstrip("e")]


def denied_commands(text: str) -> list[str]:
    """Return the sentences of a page that deny what a command does, with the command."""
    return [
        f"{command}: {sentence}"
        for sentence in sentences(text)
        if NEGATION.search(sentence)
        for command, stems in subjects()
        if all(re.search(rf"\b{stem}", sentence, re.IGNORECASE) for stem in stems)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_no_sentence_denies_a_command(page: str) -> None:
    assert denied_commands(PAGES[page]) == []


def test_a_stale_sentence_is_found() -> None:
    stale = "- Keys are not rotated with an overlap: make a new one, then revoke the old one."
    assert denied_commands(stale) == ["keys rotate: - Keys are not rotated with an overlap:"]
    assert "apps resume: An app cannot be resumed." in denied_commands("An app cannot\nbe resumed.")
