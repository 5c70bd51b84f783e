"""Files a person reads in one sitting, folders one takes in at a glance, and one name for one thing."""

from __future__ import annotations

import re
from collections import Counter

from tests.architecture.source import FLOORS, ROOT, modules

MODULES = modules()

LONG_LINES = 240
MOST_LONG_FILES = 5
MOST_FILES = 16
FLAT_LISTS = {"proxy/cli/commands", "middlewares/usage_tracker/meters"}
"""Folders that are a list of like things."""

PRIVATE_LANGUAGE = re.compile(r"\b(standin|stand-in|the gate|a gate's|gate's|this gate|Caretaker|Outlet|Entrance)\b")
BOUND_MEMBER = re.compile(r"^_[A-Z_, ]+ = [A-Z]\w+\.[A-Z_]+", re.MULTILINE)
"""A member of an enum that a module names a second time."""


def test_few_files_are_long() -> None:
    long = {name: lines for name, each in MODULES.items() if (lines := each.text.count("\n")) > LONG_LINES}
    assert len(long) <= MOST_LONG_FILES, long


def test_no_folder_is_crowded() -> None:
    folders = [folder for floor in FLOORS for folder in (ROOT / floor).rglob("*") if folder.is_dir()]
    crowded = {
        place: number
        for folder in folders
        if (place := folder.relative_to(ROOT).as_posix()) not in FLAT_LISTS
        and (number := sum(each.suffix in (".py", ".lua") for each in folder.iterdir())) > MOST_FILES
    }
    assert len(folders) > 20
    assert crowded == {}


def test_no_file_stands_beside_the_application() -> None:
    loose = {each.name for each in (ROOT / "proxy").iterdir() if each.is_file()}
    assert loose <= {"__init__.py", "app.py", "README.md", "py.typed"}


def test_no_docstring_begins_in_the_middle_of_a_sentence() -> None:
    found = [
        f"{name}:{line}" for name, each in MODULES.items() for line, text in each.docstrings() if text.startswith("Of ")
    ]
    assert found == []


def test_the_words_are_the_fields_own() -> None:
    found = [
        f"{name}: {match.group()}" for name, each in MODULES.items() for match in PRIVATE_LANGUAGE.finditer(each.text)
    ]
    assert found == []


def test_no_member_of_an_enum_has_two_names() -> None:
    found = [f"{name}: {match.group()}" for name, each in MODULES.items() for match in BOUND_MEMBER.finditer(each.text)]
    assert found == []


def test_a_public_class_has_its_name_alone() -> None:
    """The mock gateway stands apart: it speaks of gateways in a gateway's words."""
    counts = Counter(
        found
        for name, each in MODULES.items()
        if not name.startswith("proxy.mock_gateway")
        for found in each.classes()
        if not found.startswith("_")
    )
    assert [name for name, number in counts.items() if number > 1] == []
