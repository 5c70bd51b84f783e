"""What pages say of the stages is what `proxy/app.py` and the stages do."""

from __future__ import annotations

import ast
import re

from middlewares.ledger.sessions.session import TIMED
from middlewares.response.problem import TITLES
from tests.docs.pages import ROOT, first_cells, rows, section
from tests.product.test_every_route import CASES, route_of

PAGE = "middlewares/README.md"
LIVE = "live-video-to-video"
ELSEWHERE = {"response"}
"""Stages whose statuses are not their refusals alone."""


def stages_in_order() -> list[str]:
    """Return the folders of the stages, in the order in which `proxy/app.py` names their classes."""
    tree = ast.parse((ROOT / "proxy/app.py").read_text())
    folder = {
        alias.name: node.module.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and re.match(r"middlewares\.\w+\.", node.module)
        for alias in node.names
        if alias.name.endswith("Middleware")
    }
    names = sorted(
        (node.lineno, node.col_offset, node.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in folder
    )
    return list(dict.fromkeys(folder[name] for _, _, name in names))


def stages_of(picture: str) -> list[str]:
    """Return the stages that begin a line of a picture, in order."""
    stages = set(stages_in_order())
    return [word for word in re.findall(r"^(\w+)", picture, re.MULTILINE) if word in stages]


def refusals_of(stage: str) -> set[int]:
    """Return the statuses that stand as numbers in the calls by which a stage makes refusals."""
    found = set()
    for path in (ROOT / "middlewares" / stage).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSING:
                numbers = [*node.args, *(keyword.value for keyword in node.keywords)]
                found |= {each.value for each in numbers if isinstance(each, ast.Constant) and type(each.value) is int}
    return {status for status in found if 400 <= status < 600}


REFUSING = frozenset({"Refusal", "Denial", "refuse"})


def test_the_table_has_the_stages_in_their_order() -> None:
    order = stages_in_order()
    assert len(order) >= 8
    assert first_cells(section(PAGE, "Stages")) == order


def test_the_table_has_every_refusal_of_a_stage() -> None:
    shown = {row[0].strip("`"): set(map(int, re.findall(r"\d{3}", row[2]))) for row in rows(section(PAGE, "Stages"))}
    assert any(refusals_of(stage) for stage in shown)
    for stage in shown.keys() - ELSEWHERE:
        assert refusals_of(stage) <= shown[stage], stage


def test_what_is_counted_is_what_events_say() -> None:
    """Compare the table of meters with the units of real events (tests/product/test_every_route.py)."""
    counted: dict[str, set[str]] = {LIVE: {str(unit) for unit in TIMED}}
    for case in CASES:
        if case.path.startswith("/"):
            workload = route_of(case.path.replace("{byoc}", "byoc")).workload
            counted.setdefault(workload, set()).update(case.units)
    table = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows(section(PAGE, "Metering"))}
    shown = {workload: units for names, units in table.items() for workload in re.findall(r"`([\w-]+)`", names)}
    assert shown == {workload: units - {"requests"} for workload, units in counted.items()}


def test_codes_of_failures_exist() -> None:
    known = TITLES.keys() | {"answer_flooded", "usage_lost"}
    named = set()
    for page, title in (("README.md", "When things fail"), ("proxy/README.md", "When things fail")):
        for row in rows(section(page, title)):
            named |= set(re.findall(r"\b(?:\d{3}|with) `(\w+)`", " ".join(row)))
    assert named
    assert named <= known
