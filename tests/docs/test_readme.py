"""What README.md says of the code is what the code says of itself."""

import re

import pytest
import typer
from typer.core import TyperGroup

from config.loader import secret_variables
from config.settings import Settings, variables
from middlewares.routes import ROUTES
from proxy.cli.main import app
from proxy.cli.reference import PARTS, filled
from tests.docs.pages import PROJECT, README, ROOT, first_cells, section

TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", ROOT / "config/example.yaml", *(ROOT / "deploy").rglob("*"))
    if path.is_file()
}


def test_generated_parts_are_up_to_date() -> None:
    assert filled(README) == README, "run `python -m proxy.cli.reference`"


def test_generated_parts_are_all_there() -> None:
    marked = re.findall(r"<!-- (\w+):begin -->", README)
    assert marked == [*PARTS, "bench"]


def test_every_entry_of_the_route_table_is_shown() -> None:
    shown = set(first_cells(PARTS["routes"]()))
    assert shown == {path for route in ROUTES for path in route.paths if not path.startswith("/api/v1/inference/")}


@pytest.mark.parametrize(("group", "rest"), [("dependencies", 0), ("test", 1)])
def test_every_dependency_has_its_reason(group: str, rest: int) -> None:
    listed = PROJECT["dependencies"] if group == "dependencies" else PROJECT["optional-dependencies"][group]
    table = section("Dependencies").split("For tests and development only:")[rest]
    assert sorted(first_cells(table)) == sorted(re.split(r"[\[>=<~!; ]", each)[0] for each in listed)


def commands(group: TyperGroup, prefix: str = "") -> set[str]:
    """Every command, and every group, by its words."""
    found = set()
    for name, command in group.commands.items():
        found.add(prefix + name)
        if isinstance(command, TyperGroup):
            found |= commands(command, f"{prefix}{name} ")
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_only_commands_that_exist_are_named(name: str) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    known = commands(group)
    for words in re.findall(r"(?:`|\$ |\$\(|bin/|^)tollgate ([a-z]+(?: [a-z]+)?)", TEXTS[name], re.MULTILINE):
        assert words in known or words.split()[0] in known - {each.split()[0] for each in known if " " in each}, words


@pytest.mark.parametrize("name", TEXTS)
def test_only_variables_that_exist_are_named(name: str) -> None:
    known = variables(Settings).keys() | {f"{each}_FILE" for each in secret_variables()} | {"TOLLGATE_CONFIG"}
    assert set(re.findall(r"\bTOLLGATE_[A-Z_]*[A-Z]", TEXTS[name])) <= known


def test_only_settings_that_exist_are_named() -> None:
    roots = "|".join(name for name in Settings.model_fields if name not in ("plans", "routing"))
    known = {name.removeprefix("TOLLGATE_").lower().replace("__", ".") for name in variables(Settings)}
    assert set(re.findall(rf"`((?:{roots})\.[a-z_.]+)`", README)) <= known


def test_links_lead_somewhere() -> None:
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(#([^)]+)\)", prose)
    assert links
    assert set(links) <= anchors


def test_files_that_are_named_exist() -> None:
    for path in re.findall(r"`((?:config|deploy|middlewares|proxy|tests)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path
