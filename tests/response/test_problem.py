"""Problem documents (RFC 9457) as a client gets them."""

import ast
import json
import re
from pathlib import Path

import httpx
import pytest
import structlog
from starlette.types import Receive, Send

from middlewares.exchange import Exchange, Outcome, Refusal
from middlewares.response.problem import QUOTA_EXCEEDED, TITLES, problem, problem_document
from tests.response.server_fixture import Inner, StageServer, serving

SOURCES = Path(__file__).parents[2]


def refusing(refusal: Exception) -> Inner:
    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        raise refusal

    return inner


async def test_document_and_headers(tmp_path: Path) -> None:
    refusal = Refusal(
        401, "invalid_credentials", "Use a key.", headers=[(b"www-authenticate", b"Bearer")], members={"hint": 1}
    )
    async with serving(refusing(refusal), tmp_path) as server:
        response = await server.request("POST", "/llm", content=b"unread")
        request_id = server.exchanges[0].request_id
        (line,) = await server.lines()
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"] == request_id
    assert response.json() == {
        "type": "urn:tollgate:problem:invalid_credentials",
        "title": "The credential is not valid",
        "status": 401,
        "detail": "Use a key.",
        "code": "invalid_credentials",
        "request_id": request_id,
        "hint": 1,
    }
    assert (line["status"], line["outcome"], line["error"]) == (401, "refused", "invalid_credentials")
    assert server.sample("tollgate_refusals_total", code="invalid_credentials") == 1
    assert server.sample("tollgate_requests_total", route="none", status="401", outcome="refused") == 1


def test_violated_quota_has_its_registered_type() -> None:
    violated = Refusal(429, "rate_limited", "Slow down.", members={"violated-policies": ["app-requests-per-minute"]})
    assert problem_document(violated, "r")["type"] == QUOTA_EXCEEDED
    assert problem_document(Refusal(429, "rate_limited", ""), "r")["type"] == "urn:tollgate:problem:rate_limited"


def test_unknown_code_takes_the_phrase_of_its_status() -> None:
    assert problem_document(Refusal(409, "made_up", ""), "r")["title"] == "Conflict"
    assert problem_document(Refusal(499, "made_up", ""), "r")["title"] == "Refused"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "insufficient_quota"),
        (403, "permission_error"),
        (429, "rate_limit_error"),
        (503, "server_error"),
    ],
)
def test_openai_paths_carry_the_error_member(status: int, kind: str) -> None:
    _, body = problem(Refusal(status, "some_code", "What to do."), "r", "/v1/chat/completions")
    assert json.loads(body)["error"] == {"message": "What to do.", "type": kind, "param": None, "code": "some_code"}
    _, body = problem(Refusal(status, "some_code", "What to do."), "r", "/llm")
    assert "error" not in json.loads(body)


async def test_head_gets_headers_without_a_body(tmp_path: Path) -> None:
    async with serving(refusing(Refusal(404, "not_found", "No.")), tmp_path) as server:
        response = await server.request("HEAD")
    assert response.status_code == 404
    assert int(response.headers["content-length"]) > 0


async def test_untrusted_framing_ends_the_connection(tmp_path: Path) -> None:
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    async with serving(refusing(Refusal(400, "malformed_request", "No.", close=True)), tmp_path) as server:
        response = await server.raw(request + request)
    assert response.count(b"HTTP/1.1 400 ") == 1
    assert b"connection: close" in response


async def test_detail_that_is_no_unicode(tmp_path: Path) -> None:
    refusal = Refusal(400, "invalid_parameter", "No model named '\ud800'.")
    async with serving(refusing(refusal), tmp_path) as server:
        response = await server.request()
    assert response.status_code == 400
    assert response.json()["detail"] == "No model named '\ud800'."


async def _internal_error(server: StageServer) -> httpx.Response:
    with structlog.testing.capture_logs() as logs:
        response = await server.request()
    assert [entry["exc_info"] for entry in logs] == [True]
    return response


async def test_bug_shows_no_internals(tmp_path: Path) -> None:
    async with serving(refusing(RuntimeError("at 10.0.0.7 with password hunter2")), tmp_path) as server:
        response = await _internal_error(server)
        (line,) = await server.lines()
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "hunter2" not in response.text
    assert (line["level"], line["outcome"], line["error"]) == ("warning", "internal_error", "internal_error")


async def test_failure_of_a_gateway_is_not_called_a_refusal(tmp_path: Path) -> None:
    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        exchange.forwarded = True
        exchange.end(Outcome.UPSTREAM_ERROR, "gateway_dropped", 502)
        raise Refusal(502, "gateway_dropped", "The gateway closed the connection without an response.")

    async with serving(inner, tmp_path) as server:
        response = await server.request()
        (line,) = await server.lines()
    assert response.status_code == 502
    assert line["outcome"] == "upstream_error"


def _literal_codes() -> set[str]:
    """The codes that stages and forwarder spell out: where they refuse, as `code=`, and as `code` of a class."""
    found: list[ast.expr] = []
    sources = [path.read_text() for room in ("middlewares", "proxy") for path in (SOURCES / room).rglob("*.py")]
    for source in filter(re.compile("code *=|Refusal|Denial").search, sources):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found += node.args[1:2] if node.func.id in ("Refusal", "Denial") else []
                found += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            elif isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["code"]:
                found.append(node.value)
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.ci
def test_every_code_has_a_title() -> None:
    assert _literal_codes() - TITLES.keys() == set()
