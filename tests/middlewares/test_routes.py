"""The route table against the gateway contract: every client route, and what must stay unreachable."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from config.workloads import Workload
from middlewares.routes import MATCHER, ROUTES
from middlewares.routing.route import Route, RouteTableError, check
from middlewares.routing.traits import Body, Creates, Hints, Measure, Names

BATCH = """
    text-to-image image-to-image image-to-video upscale audio-to-text llm segment-anything-2 image-to-text
    text-to-speech
"""
METERED_JSON = {"text-to-image", "llm", "text-to-speech", "chat-completions"}

TABLE = [
    ("POST", "/v1/chat/completions", "chat-completions", Workload.LLM),
    ("GET", "/v1/models", "models", Workload.LLM),
    ("GET POST", "/image-to-video/result", "image-to-video-result", Workload.IMAGE_TO_VIDEO),
    ("POST OPTIONS", "/live/video-to-video/cam/update", "live-update", Workload.LIVE_VIDEO_TO_VIDEO),
    ("GET OPTIONS", "/live/video-to-video/str_1/status", "live-status", Workload.LIVE_VIDEO_TO_VIDEO),
    ("POST OPTIONS", "/live/video-to-video/cam/whip", "live-whip", Workload.LIVE_VIDEO_TO_VIDEO),
    ("DELETE OPTIONS", "/live/video-to-video/cam/whip/0a1b", "live-whip-session", Workload.LIVE_VIDEO_TO_VIDEO),
    ("POST OPTIONS", "/live/video-to-video/cam-ab12-out/whep", "live-whep", Workload.LIVE_VIDEO_TO_VIDEO),
    ("POST PUT", "/live/movie/0.ts", "live-push", Workload.TRANSCODING),
    ("POST PUT", "/live/movie/12.mp4", "live-push", Workload.TRANSCODING),
    ("POST PUT", "/live/movie-1_a/out007.ts", "live-push", Workload.TRANSCODING),
    ("GET HEAD", "/stream/movie.m3u8", "playback", Workload.PLAYBACK),
    ("GET HEAD", "/stream/movie/P720p30fps16x9.m3u8", "playback", Workload.PLAYBACK),
    ("GET HEAD", "/stream/0a1b2c3d/result%20one.png", "playback", Workload.PLAYBACK),
    ("GET", "/recordings/movie/index.m3u8", "recording", Workload.PLAYBACK),
    ("GET", "/recordings/movie/source.mp4", "recording", Workload.PLAYBACK),
    ("GET", "/recordings/movie/source/3.ts", "recording", Workload.PLAYBACK),
    ("GET HEAD", "/healthz", "healthz", Workload.PLAYBACK),
    ("POST", "/process/request/", "byoc-request", Workload.BYOC),
    ("POST", "/process/request/echo/v1%20beta", "byoc-request", Workload.BYOC),
    ("POST OPTIONS", "/process/stream/start", "byoc-stream-start", Workload.BYOC),
    ("POST OPTIONS", "/process/stream/cam-1/stop", "byoc-stream-stop", Workload.BYOC),
    ("POST OPTIONS", "/process/stream/cam-1/update", "byoc-stream-update", Workload.BYOC),
    ("GET OPTIONS", "/process/stream/cam-1/status", "byoc-stream-status", Workload.BYOC),
    ("GET OPTIONS", "/process/stream/cam-1/data", "byoc-stream-data", Workload.BYOC),
    ("POST OPTIONS", "/process/stream/cam-1/whip", "byoc-stream-whip", Workload.BYOC),
    ("DELETE OPTIONS", "/process/stream/cam-1/whip/0a1b", "byoc-stream-whip-session", Workload.BYOC),
    *(("POST", f"/{pipeline}", pipeline, Workload(pipeline)) for pipeline in BATCH.split()),
    *(("POST", f"/api/v1/inference/{pipeline}", pipeline, Workload(pipeline)) for pipeline in BATCH.split()),
]

UNREACHABLE = """
    / /llm/ /LLM /text-to-image/ /start /smoketest /metrics /status /debug/pprof /setBroadcastConfig /live
    /live/ /live/movie /live/movie/ /live/movie/0 /live/movie/0.m3u8 /live/movie/.ts /live/movie/a/0.ts
    /live/mo%20vie/0.ts /live/movie/0.ts/ /live/video-to-video /live/video-to-video/cam
    /live/video-to-video/0.ts /live/video-to-video/cam/start /live/video-to-video/smoketest
    /live/video-to-video/prefix/cam/start /live/video-to-video/cam/whip/ /prefix/cam/start
    /live/video-to-video/cam/whip/a/b
    /live/video-to-video/cam%20/update /stream /stream/ /vod/ /vod/movie.m3u8 /recordings /recordings/movie
    /recordings/movie/index.txt /process /process/ /process/request /process/token /process/stream
    /process/stream/ /process/stream/cam /process/stream/cam/rtmp /process/stream/cam/start
    /process/stream/start/ /capability/register /ai/stream/cam/control /generate-live-payment
    /sign-orchestrator-info /discover-orchestrators /api/v1/inference /api/v1/inference/
    /api/v1/inference/healthz /api/v1/inference/image-to-video/result /api/v1/inference/live-video-to-video
    /v1 /v1/completions /v1/chat /v1/chat/completions/ /v1/embeddings /v1/models/m /v1/llm /text%2Dto-image
"""

PRODUCT = Path(__file__).parents[2]


@pytest.mark.parametrize(("methods", "path", "name", "workload"), TABLE, ids=str)
def test_a_client_route_is_found_with_its_methods(methods: str, path: str, name: str, workload: Workload) -> None:
    route = MATCHER.find(path.encode())
    assert route is not None
    assert (route.name, route.workload, route.methods) == (name, workload, methods)
    assert (route.body is Body.JSON) is (name in METERED_JSON)
    assert route.allow == methods.replace(" ", ", ").encode()


def test_every_row_is_in_the_contract() -> None:
    assert {name for _, _, name, _ in TABLE} == {route.name for route in ROUTES}


@pytest.mark.parametrize("path", UNREACHABLE.split())
def test_everything_else_is_unknown(path: str) -> None:
    assert MATCHER.find(path.encode()) is None


def test_an_alias_is_its_pipeline_at_the_gateway() -> None:
    for pipeline in BATCH.split():
        alias = MATCHER.find(f"/api/v1/inference/{pipeline}".encode())
        assert alias is not None
        assert alias is MATCHER.find(f"/{pipeline}".encode())
        assert alias.target == f"/{pipeline}".encode()


def test_names_are_bounded() -> None:
    assert MATCHER.find(f"/live/{'m' * 200}/0.ts".encode())
    assert not MATCHER.find(f"/live/{'m' * 201}/0.ts".encode())


TRAITS = [each.name for each in fields(Route) if each.init]
ROW = {name: getattr(ROUTES[0], name) for name in TRAITS}


def test_a_complete_row_is_taken() -> None:
    check([Route(**ROW)])


@pytest.mark.parametrize("trait", TRAITS)
def test_a_row_without_a_trait_is_an_error(trait: str) -> None:
    with pytest.raises(TypeError, match=trait):
        Route(**{name: value for name, value in ROW.items() if name != trait})


@pytest.mark.parametrize("trait", [name for name in TRAITS if name not in ("target", "paths")])
def test_a_trait_of_no_meaning_is_an_error(trait: str) -> None:
    with pytest.raises(RouteTableError, match=trait):
        Route(**ROW | {trait: None})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "other"}, "path"),
        ({"paths": ("/other",)}, "name"),
        ({"name": "other", "paths": ("/other",), "meter": Measure.REQUESTS}, "measures"),
        ({"name": "other", "paths": ("/other",), "creates": Creates.NAMED, "names": Names.NOTHING}, "name"),
        ({"name": "other", "paths": ("/other",), "hints": Hints.JOB}, "hints"),
    ],
)
def test_rows_that_contradict_are_an_error(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(RouteTableError, match=complaint):
        check([Route(**ROW), Route(**ROW | changes)])


def literals(source: str) -> Iterator[str]:
    """Yield the text of every string in `source` that is no docstring."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_name_of_a_route_stands_outside_the_table() -> None:
    """Names that are also those of a workload are the configuration's, too."""
    names = {route.name for route in ROUTES} - {workload.value for workload in Workload} - {"models"}
    places = [
        f"{path.relative_to(PRODUCT)}: {text}"
        for room in ("config", "middlewares", "proxy")
        for path in (PRODUCT / room).rglob("*.py")
        if path != PRODUCT / "middlewares/routes.py" and "mock_gateway" not in path.parts
        for source in [path.read_text()]
        if any(name in source for name in names)  # parsing all of them takes seconds
        for text in literals(source)
        if text in names
    ]
    assert places == []
    assert len(names) > 10
