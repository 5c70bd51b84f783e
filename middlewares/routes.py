"""The route table: the gateway's client routes (gateway contract sections 1.1-1.7), one row each, and nothing else.

What the gateway serves beside them is internal or dangerous: MediaMTX callbacks, the smoke test, `/vod/`. It responds
to a wrong method on some routes with an empty 200, so the methods are part of the table. A row states every trait: one
that is missing is an error when the table is built, never a default.
"""

from __future__ import annotations

from config.workloads import Workload
from middlewares.routing.matching import RouteMatcher
from middlewares.routing.route import Route, check
from middlewares.routing.traits import AnsweredBy, Body, Creates, Dialect, Hints, Links, Measure, Names, StreamStep


def batch(name: str) -> tuple[str, ...]:
    """Return the paths of a batch pipeline: the gateway's own, and its alias."""
    return f"/{name}", f"/api/v1/inference/{name}"


def recorded(*extensions: str) -> tuple[str, ...]:
    """Return the paths of a recording's files."""
    return tuple(f"/recordings/{{manifest}}/{{file}}{extension}" for extension in extensions)


# fmt: off
ROUTES = (
    # batch pipelines, their alias below /api/v1/inference, and the result of a detached one
    Route(name="text-to-image", workload=Workload.TEXT_TO_IMAGE, methods="POST", paths=batch("text-to-image"),
          target=b"/text-to-image", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.JSON, meter=Measure.IMAGES, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.RESULTS, links=Links.NONE, hints=Hints.NONE),
    Route(name="image-to-image", workload=Workload.IMAGE_TO_IMAGE, methods="POST", paths=batch("image-to-image"),
          target=b"/image-to-image", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.FORM, meter=Measure.IMAGES_FROM_IMAGE, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.RESULTS, links=Links.NONE, hints=Hints.NONE),
    Route(name="image-to-video", workload=Workload.IMAGE_TO_VIDEO, methods="POST", paths=batch("image-to-video"),
          target=b"/image-to-video", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.FORM, meter=Measure.VIDEO, reads_response=True, detachable=True,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.RESULTS, links=Links.NONE, hints=Hints.NONE),
    Route(name="upscale", workload=Workload.UPSCALE, methods="POST", paths=batch("upscale"),
          target=b"/upscale", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.FORM, meter=Measure.IMAGES_FROM_IMAGE, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.RESULTS, links=Links.NONE, hints=Hints.NONE),
    Route(name="audio-to-text", workload=Workload.AUDIO_TO_TEXT, methods="POST", paths=batch("audio-to-text"),
          target=b"/audio-to-text", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.FORM, meter=Measure.AUDIO, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="llm", workload=Workload.LLM, methods="POST", paths=batch("llm"),
          target=b"/llm", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.JSON, meter=Measure.TOKENS, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="segment-anything-2", workload=Workload.SEGMENT_ANYTHING_2, methods="POST",
          paths=batch("segment-anything-2"),
          target=b"/segment-anything-2", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.FORM, meter=Measure.MASKS, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="image-to-text", workload=Workload.IMAGE_TO_TEXT, methods="POST", paths=batch("image-to-text"),
          target=b"/image-to-text", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.FORM, meter=Measure.CAPTION, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="text-to-speech", workload=Workload.TEXT_TO_SPEECH, methods="POST", paths=batch("text-to-speech"),
          target=b"/text-to-speech", dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.JSON, meter=Measure.CHARACTERS, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.RESULTS, links=Links.NONE, hints=Hints.NONE),
    Route(name="image-to-video-result", workload=Workload.IMAGE_TO_VIDEO, methods="GET POST",
          paths=("/image-to-video/result",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.VIDEO_RESULT, reads_response=True, detachable=False,
          begins_work=False, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.DETACHED_VIDEO, creates=Creates.RESULTS, links=Links.NONE, hints=Hints.NONE),
    # OpenAI's own paths
    Route(name="chat-completions", workload=Workload.LLM, methods="POST", paths=("/v1/chat/completions",),
          target=b"/llm", dialect=Dialect.OPENAI, answered_by=AnsweredBy.GATEWAY,
          body=Body.JSON, meter=Measure.TOKENS, reads_response=True, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="models", workload=Workload.LLM, methods="GET", paths=("/v1/models",),
          target=None, dialect=Dialect.OPENAI, answered_by=AnsweredBy.MODEL_LIST,
          body=Body.STREAMED, meter=Measure.REQUESTS, reads_response=False, detachable=False,
          begins_work=False, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    # live video-to-video
    Route(name="live-whip", workload=Workload.LIVE_VIDEO_TO_VIDEO, methods="POST OPTIONS",
          paths=("/live/video-to-video/{stream}/whip",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.OFFER,
          names=Names.LIVE_STREAM, creates=Creates.NAMED, links=Links.HEADERS, hints=Hints.ORCHESTRATOR),
    Route(name="live-whip-session", workload=Workload.LIVE_VIDEO_TO_VIDEO, methods="DELETE OPTIONS",
          paths=("/live/video-to-video/{stream}/whip/{session}",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.WHIP_SESSION,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.CLOSE,
          names=Names.LIVE_STREAM, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="live-whep", workload=Workload.LIVE_VIDEO_TO_VIDEO, methods="POST OPTIONS",
          paths=("/live/video-to-video/{stream}/whep",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.NONE,
          names=Names.VIEWED_STREAM, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="live-update", workload=Workload.LIVE_VIDEO_TO_VIDEO, methods="POST OPTIONS",
          paths=("/live/video-to-video/{stream}/update",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.NONE,
          names=Names.LIVE_STREAM, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="live-status", workload=Workload.LIVE_VIDEO_TO_VIDEO, methods="GET OPTIONS",
          paths=("/live/video-to-video/{stream}/status",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.NONE,
          names=Names.LIVE_STREAM, creates=Creates.NOTHING, links=Links.DOCUMENT, hints=Hints.NONE),
    # transcoding and playback; an encoder hangs up after the last byte of a segment, which is transcoded all the same
    Route(name="live-push", workload=Workload.TRANSCODING, methods="POST PUT",
          paths=("/live/{manifest}/{sequence}.ts", "/live/{manifest}/{sequence}.mp4"),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.RENDITIONS, reads_response=False, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=True, stream=StreamStep.NONE,
          names=Names.MANIFEST, creates=Creates.NAMED, links=Links.NONE, hints=Hints.PROFILES),
    Route(name="playback", workload=Workload.PLAYBACK, methods="GET HEAD", paths=("/stream/{path}",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.REQUESTS, reads_response=False, detachable=False,
          begins_work=False, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.PLAYED_FILE, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="recording", workload=Workload.PLAYBACK, methods="GET", paths=recorded(".m3u8", ".mp4", ".ts"),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.REQUESTS, reads_response=False, detachable=False,
          begins_work=False, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.MANIFEST, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    # BYOC jobs and streams; a stream that was begun or ended is recorded, whether its client waits or not
    Route(name="byoc-request", workload=Workload.BYOC, methods="POST", paths=("/process/request/{any}",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.JOB, meter=Measure.WALL_TIME, reads_response=False, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.JOB),
    Route(name="byoc-stream-start", workload=Workload.BYOC, methods="POST OPTIONS", paths=("/process/stream/start",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.JOB, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=True, takes_slot=True, outlives_client=True, stream=StreamStep.START,
          names=Names.NEW_BYOC_STREAM, creates=Creates.NAMED, links=Links.DOCUMENT, hints=Hints.JOB),
    Route(name="byoc-stream-stop", workload=Workload.BYOC, methods="POST OPTIONS",
          paths=("/process/stream/{stream}/stop",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.JOB, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=True, stream=StreamStep.STOP,
          names=Names.BYOC_STREAM, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.JOB),
    Route(name="byoc-stream-update", workload=Workload.BYOC, methods="POST OPTIONS",
          paths=("/process/stream/{stream}/update",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.JOB, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.NONE,
          names=Names.BYOC_STREAM, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.JOB),
    Route(name="byoc-stream-status", workload=Workload.BYOC, methods="GET OPTIONS",
          paths=("/process/stream/{stream}/status",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.NONE,
          names=Names.BYOC_STREAM, creates=Creates.NOTHING, links=Links.DOCUMENT, hints=Hints.NONE),
    Route(name="byoc-stream-data", workload=Workload.BYOC, methods="GET OPTIONS",
          paths=("/process/stream/{stream}/data",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.NONE,
          names=Names.BYOC_STREAM, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    Route(name="byoc-stream-whip", workload=Workload.BYOC, methods="POST OPTIONS",
          paths=("/process/stream/{stream}/whip",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=False, stream=StreamStep.NONE,
          names=Names.BYOC_STREAM, creates=Creates.NOTHING, links=Links.HEADERS, hints=Hints.NONE),
    Route(name="byoc-stream-whip-session", workload=Workload.BYOC, methods="DELETE OPTIONS",
          paths=("/process/stream/{stream}/whip/{session}",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.STREAM_TIME, reads_response=False, detachable=False,
          begins_work=False, takes_slot=False, outlives_client=True, stream=StreamStep.HANG_UP,
          names=Names.BYOC_STREAM, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
    # health
    Route(name="healthz", workload=Workload.PLAYBACK, methods="GET HEAD", paths=("/healthz",),
          target=None, dialect=Dialect.GATEWAY, answered_by=AnsweredBy.GATEWAY,
          body=Body.STREAMED, meter=Measure.REQUESTS, reads_response=False, detachable=False,
          begins_work=False, takes_slot=True, outlives_client=False, stream=StreamStep.NONE,
          names=Names.NOTHING, creates=Creates.NOTHING, links=Links.NONE, hints=Hints.NONE),
)
# fmt: on

check(ROUTES)

BY_NAME = {route.name: route for route in ROUTES}

MATCHER = RouteMatcher(ROUTES)
