"""Hazards: errors of control routes that leak, look different from all others, or are counted twice or not at all."""

import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from config.access import Cors, Edge
from config.settings import Settings
from middlewares.exchange import Refusal
from proxy.api.application import control_application
from tests.api.server_fixture import Served, serving
from tests.support.raw_http import RawConnection, request

SECRET = "tgk_a-secret-in-a-traceback"
ORIGIN = "https://studio.example"


async def fails(_: Request) -> Response:
    raise RuntimeError(SECRET)


def fails_in_a_thread(_: Request) -> Response:
    raise RuntimeError(SECRET)


async def refuses(_: Request) -> Response:
    raise Refusal(409, "invalid_parameter", "There is one already.", members={"parameter": "name"})


async def raises_of_the_framework(_: Request) -> Response:
    raise HTTPException(415, "Send JSON.", headers={"Accept": "application/json"})


async def breaks_off(_: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError(SECRET)

    return StreamingResponse(body())


async def sets_a_cookie(_: Request) -> Response:
    response = PlainTextResponse("ok", headers={"RateLimit": '"own";r=1'})
    response.set_cookie("session", "1", httponly=True)
    return response


def mounted() -> Starlette:
    return control_application([Route("/fails", fails), Route("/refuses", refuses)])


ROUTES = [
    Route("/api/v1/fails", fails),
    Route("/api/v1/fails-in-a-thread", fails_in_a_thread),
    Route("/api/v1/refuses", refuses),
    Route("/api/v1/unsupported", raises_of_the_framework),
    Route("/api/v1/breaks-off", breaks_off),
    Route("/api/v1/cookie", sets_a_cookie),
    Mount("/api/v1/mounted", app=mounted()),
]


@pytest.fixture
async def served(capfd: pytest.CaptureFixture[str]) -> AsyncIterator[Served]:
    settings = Settings(edge=Edge(cors=Cors(allow_origins=(ORIGIN,))))
    async with serving(capfd, settings, ROUTES) as running:
        yield running


@pytest.mark.parametrize("target", ["/api/v1/none", "/.well-known/none", "/api/v1/mounted/none"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
async def test_nothing_there_is_a_404_problem(served: Served, method: str, target: str) -> None:
    response = await served.request(target, method=method, body=b"{}" if method == "POST" else None)
    assert (response.status, response.get("content-type")) == (404, "application/problem+json")
    document = json.loads(response.body)
    assert (document["code"], document["status"]) == ("not_found", 404)
    assert document["request_id"] == response.get("x-request-id")
    [line] = await served.lines()
    assert (line["request_id"], line["outcome"], line["error"]) == (document["request_id"], "refused", "not_found")
    assert (line["app"], line["workload"], line["client"]) == (None, None, "127.0.0.1")
    label = "well-known" if "well" in target else "control-api"
    assert line["route"] == label
    assert served.sample("tollgate_requests_total", route=label, status="404", outcome="refused") == 1
    assert served.sample("tollgate_refusals_total", code="not_found") == 1


async def test_head_is_answered_like_get_without_a_body(served: Served) -> None:
    get = await served.request("/api/v1/none")
    async with await RawConnection.open(served.address) as connection:
        head = await connection.exchange(request("HEAD", "/api/v1/none"), method="HEAD")
        assert (head.status, head.get("content-length")) == (404, get.get("content-length"))
        assert (await connection.exchange(request("GET", "/api/v1/none"))).status == 404, (
            "the connection is still in step"
        )
        assert (await connection.exchange(request("HEAD", "/api/v1/cookie"), method="HEAD")).status == 200


async def test_a_wrong_method_names_the_right_ones(served: Served) -> None:
    for method in ("POST", "OPTIONS"):
        response = await served.request("/api/v1/cookie", method=method)
        assert (response.status, response.code) == (405, "method_not_allowed")
        assert sorted((response.get("allow") or "").split(", ")) == ["GET", "HEAD"]


async def test_a_slash_too_many_does_not_redirect_to_the_host_a_client_claims(served: Served) -> None:
    assert (await served.request("/api/v1/cookie/")).status == 404


@pytest.mark.ci
@pytest.mark.sampled(3)
@pytest.mark.parametrize("path", ["fails", "fails-in-a-thread", "mounted/fails"])
async def test_a_failure_is_a_500_problem_that_tells_nothing_of_it(served: Served, path: str) -> None:
    response = await served.request(f"/api/v1/{path}")
    assert (response.status, response.code, response.get("content-type")) == (
        500,
        "internal_error",
        "application/problem+json",
    )
    assert b"secret" not in response.body
    assert b"Error" not in response.body
    [line] = await served.lines()
    assert (line["level"], line["status"], line["outcome"]) == ("warning", 500, "internal_error")
    assert served.sample("tollgate_refusals_total", code="internal_error") == 1


@pytest.mark.parametrize("path", ["refuses", "mounted/refuses"])
async def test_a_refusal_of_a_route_is_its_problem(served: Served, path: str) -> None:
    response = await served.request(f"/api/v1/{path}")
    document = json.loads(response.body)
    assert (response.status, document["code"], document["parameter"]) == (409, "invalid_parameter", "name")
    [line] = await served.lines()
    assert (line["outcome"], line["error"]) == ("refused", "invalid_parameter")


async def test_an_error_of_the_framework_is_a_problem_too(served: Served) -> None:
    response = await served.request("/api/v1/unsupported")
    assert (response.status, response.code, response.get("accept")) == (415, "malformed_request", "application/json")


@pytest.mark.ci
async def test_a_response_that_fails_on_its_way_does_not_look_complete(served: Served) -> None:
    async with await RawConnection.open(served.address) as connection:
        await connection.send(request("GET", "/api/v1/breaks-off"))
        assert not (await connection.read_to_end()).endswith(b"0\r\n\r\n")
    [line] = await served.lines()
    assert (line["status"], line["outcome"]) == (200, "internal_error")


async def test_headers_of_a_control_route_are_its_own(served: Served) -> None:
    """Hazard: filtered as if a gateway had written them, no portal could hold a session."""
    response = await served.request("/api/v1/cookie")
    assert response.status == 200
    assert (response.get("set-cookie") or "").startswith("session=1;")
    assert response.get("ratelimit") == '"own";r=1'
    assert response.get("x-request-id")
    [line] = await served.lines()
    assert (line["outcome"], line["error"], line["bytes_out"]) == ("complete", None, 2)


async def test_a_browsers_preflight_is_answered_and_the_problem_readable(served: Served) -> None:
    asked = [("Origin", ORIGIN), ("Access-Control-Request-Method", "PATCH")]
    preflight = await served.request("/api/v1/none", *asked, method="OPTIONS")
    assert (preflight.status, preflight.get("access-control-allow-origin")) == (204, ORIGIN)
    assert "PATCH" in (preflight.get("access-control-allow-methods") or "")
    response = await served.request("/api/v1/none", ("Origin", ORIGIN))
    assert (response.status, response.get("access-control-allow-origin")) == (404, ORIGIN)
    stranger = await served.request("/api/v1/none", ("Origin", "https://elsewhere.example"))
    assert stranger.get("access-control-allow-origin") is None
