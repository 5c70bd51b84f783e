"""Imports run one way: down the floors, down the rooms of `proxy`, and never from stage to stage."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.source import FLOORS, graph

STAGES = ("edge", "auth", "live", "rate_limit", "usage_tracker", "tenancy", "tier_routing", "response")
"""Folders of `middlewares` that are a stage of the pipeline; everything else there is shared ground."""

ROOMS = (
    ("cli",),
    ("server",),
    ("app",),
    ("portal",),
    ("api", "oidc"),
    ("webhooks", "forwarding"),
    ("identity",),
    ("reporting", "backup"),
    ("history",),
    ("control",),
    ("upstream", "store", "media_probe"),
    ("network",),
)
"""Rooms of `proxy`, the face of the building first; those of one rank do not know each other."""
APART = {"mock_gateway"}
"""It knows nobody, and only the demo and the tests know it."""


def room_of(module: str) -> tuple[str, str]:
    """Return floor and room of a module."""
    floor, _, rest = module.partition(".")
    return floor, rest.partition(".")[0]


def crossings() -> list[tuple[str, str]]:
    """Return every import that leaves its room."""
    return [
        (importer, imported)
        for importer, all_imported in graph().items()
        for imported in sorted(all_imported)
        if room_of(importer) != room_of(imported)
    ]


def test_there_is_no_cycle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_import_runs_up_a_floor() -> None:
    rank = {floor: number for number, floor in enumerate(FLOORS)}
    up = [f"{a} -> {b}" for a, b in crossings() if rank[room_of(a)[0]] > rank[room_of(b)[0]]]
    assert crossings()
    assert up == []


def test_a_stage_imports_no_other_stage() -> None:
    found = {room_of(name)[1] for name in graph() if name.startswith("middlewares.")}
    assert found >= set(STAGES)
    sideways = [
        f"{a} -> {b}"
        for a, b in crossings()
        if room_of(a)[0] == room_of(b)[0] == "middlewares" and room_of(b)[1] in STAGES
    ]
    assert sideways == []


def test_no_import_runs_up_the_rooms_of_proxy() -> None:
    rank = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    found = {room_of(name)[1] for name in graph() if name.startswith("proxy.")}
    assert found <= rank.keys() | APART, "a new room needs its place in ROOMS"
    up = [
        f"{a} -> {b}"
        for a, b in crossings()
        if room_of(a)[0] == room_of(b)[0] == "proxy"
        and room_of(a)[1] in rank
        and room_of(b)[1] in rank
        and rank[room_of(a)[1]] >= rank[room_of(b)[1]]
    ]
    assert up == []


def test_the_mock_gateway_stands_apart() -> None:
    known = [f"{a} -> {b}" for a, b in crossings() if room_of(a)[1] in APART]
    knowing = {room_of(a)[1] for a, b in crossings() if room_of(b)[1] in APART}
    assert (known, knowing) == ([], {"cli"})


DATA_PATH = ("proxy.server.worker_application", "proxy.server.protocol", "proxy.app")
CONTROL_PLANE = {"fastapi", "sqlalchemy", "authlib", "jinja2"}


@pytest.mark.parametrize("entry", DATA_PATH)
def test_the_data_path_loads_nothing_of_the_control_plane(entry: str) -> None:
    reached, queue = {entry}, [entry]
    while queue:
        for imported in graph()[queue.pop()] - reached:
            reached.add(imported)
            queue.append(imported)
    assert len(reached) > 10
    outside = {
        name
        for name in reached
        if name.startswith(
            ("proxy.cli", "proxy.portal", "proxy.oidc", "proxy.history", "proxy.api.builder", "proxy.api.admin")
        )
    }
    assert outside == set()


@pytest.mark.parametrize("entry", DATA_PATH)
def test_the_data_path_is_loaded_without_the_libraries_of_the_control_plane(entry: str) -> None:
    """Hazard: a library that is loaded by another library's leave, which no import of ours names."""
    script = f"import sys, {entry}; print(*({CONTROL_PLANE!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
