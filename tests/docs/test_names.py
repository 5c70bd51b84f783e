"""Names in the READMEs exist: settings, variables, commands, options, identifiers, dependencies, generated parts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.core import TyperGroup

from config.environment import variables
from config.settings import Settings
from middlewares.routes import ROUTES
from proxy.cli.reference import ALIAS, filled, routes
from proxy.cli.reference import PAGES as GENERATED
from tests.docs.pages import PAGES, PROJECT, ROOT, first_cells, prose, section, sentences
from tests.docs.shell import MAKE_TARGETS, TOLLGATE, VARIABLES

TEXTS = PAGES | {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "CHANGELOG.md", ROOT / "config/example.yaml", *(ROOT / "deploy").rglob("*"))
    if path.is_file()
}
BENCH = "tests/benchmarks/README.md"
SOURCES = [
    path.read_text()
    for folder in ("config", "middlewares", "proxy", "deploy")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".lua", ".yaml", ".service")
]
WORDS = {word for text in SOURCES for word in re.findall(r"\w+", text)}
EXAMPLES = frozenset({"app_x", "app_x_cam"})
"""Ids that pages make up."""
CODE = re.compile(r"`(?!tests/)([^`\n]+)`")
"""What stands in backticks; paths of tests are checked as files."""
BANNED = {
    r"\bthe gate\b": "Tollgate, or the proxy",
    r"\ba gate\b": "Tollgate, or a proxy",
    r"\bstand-in\b": "mock gateway",
    r"\banswers?\b": "response",
    r"\bheader fields?\b": "header",
    r"\bcaretaker\b|\bguardian\b": "maintenance, supervisor",
    r"\basked for\b": "requested",
    r"\btold\b": "reported",
}
"""Private language, and what to say instead."""


@pytest.mark.parametrize("page", GENERATED)
def test_generated_parts_are_up_to_date(page: str) -> None:
    assert filled(page, PAGES[page]) == PAGES[page], "run `make docs`"


@pytest.mark.parametrize("page", PAGES)
def test_generated_parts_are_all_there(page: str) -> None:
    marked = re.findall(r"<!-- (\w+):begin -->", PAGES[page])
    assert marked == [*GENERATED.get(page, ()), *(["bench"] if page == BENCH else [])]


def test_every_path_of_the_route_table_is_shown() -> None:
    shown = set(first_cells(routes()))
    assert shown == {path for route in ROUTES for path in route.paths if not path.startswith(ALIAS)}


@pytest.mark.parametrize(("group", "page"), [("dependencies", "proxy/README.md"), ("test", "tests/README.md")])
def test_every_dependency_has_its_reason(group: str, page: str) -> None:
    listed = PROJECT["dependencies"] if group == "dependencies" else PROJECT["optional-dependencies"][group]
    shown = first_cells(section(page, "Dependencies"))
    assert sorted(shown) == sorted(re.split(r"[\[>=<~!; ]", each)[0] for each in listed)


def commands(group: TyperGroup, prefix: str = "") -> dict[str, Any]:
    """Return every command, and every group, by its words."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found[prefix + name] = command
        if isinstance(command, TyperGroup):
            found |= commands(command, f"{prefix}{name} ")
    return found


def known_commands() -> dict[str, Any]:
    """Return all of `tollgate`."""
    assert isinstance(TOLLGATE, TyperGroup)
    return commands(TOLLGATE)


@pytest.mark.parametrize("name", TEXTS)
def test_only_commands_that_exist_are_named(name: str) -> None:
    known = known_commands()
    single = {words for words, command in known.items() if not isinstance(command, TyperGroup)}
    for words in re.findall(r"(?:`|\$ |\$\(|bin/|^)tollgate ([a-z]+(?: [a-z]+)?)", TEXTS[name], re.MULTILINE):
        assert words in known or words.split()[0] in single, words


@pytest.mark.parametrize("page", PAGES)
def test_only_options_that_exist_are_named(page: str) -> None:
    options = {option for command in known_commands().values() for each in command.params for option in each.opts}
    options |= {"--config", "--url", "--help"}
    assert set(re.findall(r"`(--[a-z-]+)", prose(PAGES[page]))) <= options


@pytest.mark.parametrize("page", PAGES)
def test_only_make_targets_that_exist_are_named(page: str) -> None:
    assert set(re.findall(r"`make ([a-z]+)`", PAGES[page])) <= MAKE_TARGETS


@pytest.mark.parametrize("name", TEXTS)
def test_only_variables_that_exist_are_named(name: str) -> None:
    assert set(re.findall(r"\bTOLLGATE_[A-Z_]*[A-Z]", TEXTS[name])) <= VARIABLES


@pytest.mark.parametrize("page", PAGES)
def test_only_settings_that_exist_are_named(page: str) -> None:
    roots = "|".join(name for name in Settings.model_fields if name not in ("plans", "routing"))
    known = {name.removeprefix("TOLLGATE_").lower().replace("__", ".") for name in variables(Settings)}
    known |= {f"routing.{name}" for name in type(Settings().routing).model_fields}
    assert set(re.findall(rf"`((?:{roots}|routing)\.[a-z_.]+)`", prose(PAGES[page]))) <= known


@pytest.mark.parametrize("page", PAGES)
def test_only_identifiers_that_exist_are_named(page: str) -> None:
    """A word in backticks with an underscore is a setting, code, metric, unit, member or module of ours."""
    named = {word for code in CODE.findall(prose(PAGES[page])) for word in re.findall(r"[a-z]\w*_\w+", code)}
    unknown = {word for word in named if word not in WORDS and not _metric(word)} - EXAMPLES
    assert not unknown


def _metric(word: str) -> bool:
    """Return whether it is a metric: a counter's name ends in `_total` where it is exposed."""
    return word.startswith("tollgate_") and bool({word, word.removesuffix("_total")} & WORDS)


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_in_plain_words(name: str) -> None:
    for sentence in sentences(re.sub(r"`[^`]*`|^\s*\w+:", "", TEXTS[name], flags=re.MULTILINE)):
        for pattern, instead in BANNED.items():
            assert not re.search(pattern, sentence, re.IGNORECASE), f"say {instead}: {sentence}"
