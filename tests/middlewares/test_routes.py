"""The route table against the gateway contract: every client route, and what must stay unreachable."""

import pytest

from config.workloads import Workload
from middlewares.edge.target import check_path
from middlewares.exchange import Refusal
from middlewares.routes import Entry, find_entry

BATCH = """
    text-to-image image-to-image image-to-video upscale audio-to-text llm segment-anything-2 image-to-text
    text-to-speech
"""
METERED_JSON = {"text-to-image", "llm", "text-to-speech", "chat-completions"}

ROUTES = [
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

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def find(method: str, path: str) -> Entry:
    return find_entry(method, path.encode(), check_path)


@pytest.mark.parametrize(("methods", "path", "name", "workload"), ROUTES, ids=str)
def test_a_client_route_takes_its_methods_and_no_other(methods: str, path: str, name: str, workload: Workload) -> None:
    for method in METHODS:
        if method in methods.split():
            route = find(method, path).route
            assert (route.name, route.workload) == (name, workload)
            assert route.metered_json is (name in METERED_JSON)
            continue
        with pytest.raises(Refusal) as refused:
            find(method, path)
        assert (refused.value.status, refused.value.code) == (405, "method_not_allowed")
        assert refused.value.headers == [(b"allow", methods.replace(" ", ", ").encode())]


@pytest.mark.parametrize("path", UNREACHABLE.split())
def test_everything_else_is_unknown(path: str) -> None:
    for method in METHODS:
        with pytest.raises(Refusal) as refused:
            find(method, path)
        assert (refused.value.status, refused.value.code) == (404, "not_found")


def test_an_alias_is_its_pipeline_at_the_gateway() -> None:
    for pipeline in BATCH.split():
        assert find("POST", f"/api/v1/inference/{pipeline}").target == f"/{pipeline}".encode()
        assert find("POST", f"/{pipeline}").target is None


def test_names_are_bounded() -> None:
    find("PUT", f"/live/{'m' * 200}/0.ts")
    with pytest.raises(Refusal):
        find("PUT", f"/live/{'m' * 201}/0.ts")
