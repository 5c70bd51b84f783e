"""Every event that is logged is in the table of log events, with its level, and no other."""

from __future__ import annotations

import ast
import re

from tests.architecture.source import modules
from tests.docs.pages import section

LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error"}


def logged() -> set[tuple[str, str]]:
    """Return name and level of every event that the product logs by name."""
    found = set()
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                match node.func.value, node.args[0]:
                    case ast.Name(id="log" | "logger"), ast.Constant(value=str(name)) if re.fullmatch(r"[a-z_]+", name):
                        found.add((name, LEVELS[node.func.attr]))
    return found


def listed() -> set[tuple[str, str]]:
    """Return name and level of every event of the table; one level stands for all names of a row."""
    found = set()
    for names, levels in re.findall(r"^\| (`.*?) \| ([a-z, ]+) \|", section("proxy/README.md", "Log events"), re.M):
        events, of_each = re.findall(r"`(\w+)`", names), levels.split(", ")
        found |= set(zip(events, of_each * len(events) if len(of_each) == 1 else of_each, strict=len(of_each) > 1))
    return found


def test_log_events_are_listed_with_their_levels() -> None:
    assert len(logged()) > 50
    assert listed() == logged()
