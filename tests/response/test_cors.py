"""Cross-origin requests are governed by Tollgate's configuration alone."""

from pathlib import Path

import httpx
import pytest

from config.access import Cors
from tests.response.server_fixture import StageServer, responding, serving

PAGE = "https://app.example"
CONFIG = Cors(allow_origins=(PAGE, "https://other.example"), max_age=99)
EXPOSED = (
    "x-request-id, ratelimit, ratelimit-policy, retry-after, location, etag, link, livepeer-playback-url, "
    "idempotency-replayed"
)
ALLOWED = "authorization, content-type, idempotency-key, livepeer, prefer, x-api-key"
OPEN = responding(200, [(b"access-control-allow-origin", b"*"), (b"vary", b"accept")])


async def _preflight(server: StageServer, origin: str = PAGE) -> httpx.Response:
    return await server.request("OPTIONS", "/llm", headers={"origin": origin, "access-control-request-method": "POST"})


def _cors(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def test_off_by_default(tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path) as server:
        response = await _preflight(server)
    assert response.status_code == 200, "the preflight went on like any request"
    assert _cors(response) == {}
    assert response.headers.get_list("vary") == ["accept"]


async def test_tollgate_responds_to_a_preflight(tmp_path: Path) -> None:
    async with serving(responding(500), tmp_path, cors=CONFIG) as server:
        response = await _preflight(server)
        (line,) = await server.lines()
    assert response.status_code == 204
    assert _cors(response) == {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": EXPOSED,
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": ALLOWED,
        "access-control-max-age": "99",
    }
    assert response.headers["vary"] == "Origin"
    assert response.headers["x-request-id"] == line["request_id"]
    assert (line["status"], line["outcome"]) == (204, "complete")


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil", "null", "HTTPS://APP.EXAMPLE"])
async def test_other_origins_get_no_headers(origin: str, tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path, cors=CONFIG) as server:
        responses = [await _preflight(server, origin), await server.request(headers={"origin": origin})]
    for response in responses:
        assert _cors(response) == {}
        assert "Origin" in response.headers.get_list("vary", split_commas=True)


async def test_responses_to_other_requests(tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path, cors=CONFIG) as server:
        response = await server.request("POST", "/llm", headers={"origin": PAGE})
        plain = await server.request("POST", "/llm")
    assert _cors(response) == {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": EXPOSED,
    }
    assert response.headers.get_list("vary") == ["accept", "Origin"]
    assert _cors(plain) == {}
    assert plain.headers.get_list("vary") == ["accept", "Origin"], "caches must not serve it to a page"


async def test_any_origin(tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path, cors=Cors(allow_origins=("*",))) as server:
        response = await server.request(headers={"origin": PAGE})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers.get_list("vary") == ["accept"]


async def test_options_that_is_no_preflight_passes(tmp_path: Path) -> None:
    async with serving(responding(204, [(b"allow", b"POST")]), tmp_path, cors=CONFIG) as server:
        response = await server.request("OPTIONS", "/live/video-to-video/a/whip", headers={"origin": PAGE})
    assert response.headers["allow"] == "POST"
    assert response.headers["access-control-allow-origin"] == PAGE


async def test_the_headers_of_openai_clients_are_allowed_by_their_prefix(tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path, cors=CONFIG) as server:
        requested = {"access-control-request-headers": "authorization,x-stainless-os,x-evil"}
        preflight = {"origin": PAGE, "access-control-request-method": "POST", **requested}
        response = await server.request("OPTIONS", "/v1/chat/completions", headers=preflight)
    assert response.headers["access-control-allow-headers"] == f"{ALLOWED}, x-stainless-os"
