"""Hazard: a spelling of a path by which a control request reaches a gateway, or a client route the control plane."""

from collections.abc import AsyncIterator

import pytest

from config.settings import Settings
from middlewares.routes import ROUTES
from proxy.api.door import Door
from proxy.app import control_surfaces, nothing_served
from tests.api.server_fixture import Served, serving


@pytest.fixture
async def served(capfd: pytest.CaptureFixture[str]) -> AsyncIterator[Served]:
    async with serving(capfd) as running:
        yield running


CONTROL = [
    ("/api/v1", 404, "control-api"),
    ("/api/v1/", 404, "control-api"),
    ("/api/v1?a=/llm", 404, "control-api"),
    ("/api/v1/none", 404, "control-api"),
    ("/api/v1/llm", 404, "control-api"),
    ("/api/v1/oidc", 404, "oidc"),
    ("/api/v1/oidc/none", 404, "oidc"),
    ("/api/v1/oidc/../llm", 400, "oidc"),
    ("/api/v1/oidcs", 404, "control-api"),
    ("/api/v1/inferences/llm", 404, "control-api"),
    ("/api/v1/%69nference/llm", 404, "control-api"),
    ("/api/v1/../llm", 400, "control-api"),
    ("/api/v1/%2e%2e/llm", 400, "control-api"),
    ("/api/v1/..%2fllm", 400, "control-api"),
    ("/api/v1//llm", 400, "control-api"),
    ("/api/v1/\\..\\llm", 400, "control-api"),
    ("/api/v1/%00", 400, "control-api"),
    ("/api/v1/none?a=%00", 400, "control-api"),
    ("/api/v1/none#a", 400, "control-api"),
    ("/api/v1/verify", 404, "verify"),
    ("/api/v1/verify/../../../llm", 400, "verify"),
    ("/api/v1/verifyx", 404, "control-api"),
    ("/llms.txt", 404, "llms"),
    ("/llms.txt/%2e%2e/llm", 400, "llms"),
    ("/.well-known", 404, "well-known"),
    ("/.well-known/none", 404, "well-known"),
    ("/.well-known/../llm", 400, "well-known"),
]
PIPELINE = [
    ("/%61pi/v1/none", 404),
    ("/api%2fv1/none", 400),
    ("//api/v1", 400),
    ("//api/v1/none", 400),
    ("/./api/v1/none", 400),
    ("/llm/../api/v1/none", 400),
    ("/API/v1/none", 404),
    ("/api/v1x", 404),
    ("/api/v1;/none", 404),
    ("/api/v2/none", 404),
    ("/api/", 404),
    ("/%2ewell-known/none", 400),
    ("/.well-knownx/none", 404),
    ("/llms.txtx", 404),
    ("/llms%2etxt", 400),
    ("http://gate/api/v1/none", 400),
    ("http://gate/llm", 400),
    ("*", 400),
    ("/api/v1/inference", 404),
    ("/api/v1/inference/none", 404),
    ("/api/v1/inference/../apps", 400),
]


@pytest.mark.parametrize(("target", "status", "label"), CONTROL)
async def test_a_control_path_never_reaches_the_pipeline(served: Served, target: str, status: int, label: str) -> None:
    response = await served.request(target)
    assert (response.status, response.get("content-type")) == (status, "application/problem+json")
    [line] = await served.lines()
    assert (line["route"], line["status"], line["request_id"]) == (label, status, response.get("x-request-id"))
    assert served.forwarded == []


@pytest.mark.parametrize(("target", "status"), PIPELINE)
async def test_every_other_spelling_is_the_pipelines_to_refuse(served: Served, target: str, status: int) -> None:
    response = await served.request(target)
    assert (response.status, response.get("content-type")) == (status, "application/problem+json")
    [line] = await served.lines()
    assert line["route"] is None
    assert served.forwarded == []


@pytest.mark.parametrize(
    "target", ["/image-to-text", "/api/v1/inference/image-to-text", "/process/request/api/v1/none"]
)
async def test_client_routes_reach_the_pipeline(served: Served, target: str) -> None:
    response = await served.request(target, method="POST", body=b"a body")
    assert (response.status, response.body) == (200, b"pipeline")
    assert served.forwarded == [target.encode()]


async def pipeline(*_: object) -> None:
    """Stand in for the stages."""


def test_no_client_route_is_behind_a_control_surface() -> None:
    door = Door(pipeline, control_surfaces(pipeline, Settings(), nothing_served()))
    paths = [path for route in ROUTES for path in route.paths]
    assert any(path.startswith("/api/v1/") for path in paths)
    for path in paths:
        surface = door.surface_of(path.encode())
        assert surface is None or surface.app is pipeline, path


def test_whole_segments_decide_and_the_first_row_that_matches() -> None:
    """Hazard: an alias of a client route taken for a control request, because the shorter path is looked at first."""
    surfaces = control_surfaces(pipeline, Settings(), nothing_served())
    door = Door(pipeline, surfaces)
    for surface in surfaces:
        for target in (surface.path, surface.path + b"/below", surface.path + b"?query"):
            assert door.surface_of(target) is surface
        for target in (surface.path + b"x", b"/" + surface.path, surface.path[1:], surface.path.upper()):
            assert door.surface_of(target) is not surface
    assert door.surface_of(b"/api/v1/inference/llm") == (b"/api/v1/inference", "", pipeline)
