"""Cross-origin requests are answered by the gate's configuration alone."""

from pathlib import Path

import httpx
import pytest

from config.access import Cors
from tests.response.server_fixture import Rig, answering, serving

PAGE = "https://app.example"
CONFIG = Cors(allow_origins=(PAGE, "https://other.example"), max_age=99)
OPEN = answering(200, [(b"access-control-allow-origin", b"*"), (b"vary", b"accept")])


async def _preflight(rig: Rig, origin: str = PAGE) -> httpx.Response:
    return await rig.request("OPTIONS", "/llm", headers={"origin": origin, "access-control-request-method": "POST"})


def _cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


async def test_off_by_default(tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path) as rig:
        answer = await _preflight(rig)
    assert answer.status_code == 200, "the preflight went on like any request"
    assert _cors(answer) == {}
    assert answer.headers.get_list("vary") == ["accept"]


async def test_preflight_is_answered_by_the_gate(tmp_path: Path) -> None:
    async with serving(answering(500), tmp_path, cors=CONFIG) as rig:
        answer = await _preflight(rig)
        (line,) = await rig.lines()
    assert answer.status_code == 204
    assert _cors(answer) == {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": "x-request-id, ratelimit, ratelimit-policy, retry-after",
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": "authorization, content-type, x-api-key",
        "access-control-max-age": "99",
    }
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["x-request-id"] == line["request_id"]
    assert (line["status"], line["outcome"]) == (204, "complete")


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil", "null", "HTTPS://APP.EXAMPLE"])
async def test_other_origins_are_told_nothing(origin: str, tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path, cors=CONFIG) as rig:
        answers = [await _preflight(rig, origin), await rig.request(headers={"origin": origin})]
    for answer in answers:
        assert _cors(answer) == {}
        assert "Origin" in answer.headers.get_list("vary", split_commas=True)


async def test_real_answers(tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path, cors=CONFIG) as rig:
        answer = await rig.request("POST", "/llm", headers={"origin": PAGE})
        plain = await rig.request("POST", "/llm")
    assert _cors(answer) == {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": "x-request-id, ratelimit, ratelimit-policy, retry-after",
    }
    assert answer.headers.get_list("vary") == ["accept", "Origin"]
    assert _cors(plain) == {}
    assert plain.headers.get_list("vary") == ["accept", "Origin"], "caches must not serve it to a page"


async def test_any_origin(tmp_path: Path) -> None:
    async with serving(OPEN, tmp_path, cors=Cors(allow_origins=("*",))) as rig:
        answer = await rig.request(headers={"origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers.get_list("vary") == ["accept"]


async def test_options_that_is_no_preflight_passes(tmp_path: Path) -> None:
    async with serving(answering(204, [(b"allow", b"POST")]), tmp_path, cors=CONFIG) as rig:
        answer = await rig.request("OPTIONS", "/live/video-to-video/a/whip", headers={"origin": PAGE})
    assert answer.headers["allow"] == "POST"
    assert answer.headers["access-control-allow-origin"] == PAGE
