"""The mock gateway's ASGI application: finds the route, records the request, runs the handler."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

from proxy.mock_gateway.call import Call, Headers, ResponseSent
from proxy.mock_gateway.connection import EXTENSION, Wire
from proxy.mock_gateway.control import PREFIX, control
from proxy.mock_gateway.gateway import Gateway
from proxy.mock_gateway.media import BLOCK, pattern
from proxy.mock_gateway.record import Record
from proxy.mock_gateway.routes import batch, byoc, byoc_streams, image_to_video, live, llm, playback, transcode

Handler = Callable[[Call], Awaitable[None]]

BATCH: dict[str, Handler] = {
    **batch.ROUTES,
    "/llm": llm.llm,
    "/image-to-video": image_to_video.image_to_video,
}
"""POST routes behind the gateway's OpenAPI validator."""

INGEST: list[tuple[str, Handler]] = [
    ("/image-to-video/result", image_to_video.result),
    ("/live/video-to-video/smoketest", live.smoketest),
    ("/live/video-to-video/{stream}/start", live.start),
    ("/live/video-to-video/{prefix}/{stream}/start", live.start),
    ("/live/video-to-video/{stream}/update", live.update),
    ("/live/video-to-video/{stream}/status", live.status),
    ("/live/video-to-video/{stream}/whip", live.whip),
    ("/live/video-to-video/{stream}/whep", live.whep),
    ("/live/{segment...}", transcode.push),
    ("/process/request/{path...}", byoc.request),
    ("POST /process/stream/start", byoc_streams.start),
    ("POST /process/stream/{stream}/stop", byoc_streams.stop),
    ("POST /process/stream/{stream}/update", byoc_streams.update),
    ("GET /process/stream/{stream}/status", byoc_streams.status),
    ("GET /process/stream/{stream}/data", byoc_streams.data),
    ("POST /process/stream/{stream}/whip", byoc_streams.whip),
    ("POST /process/stream/{stream}/rtmp", byoc_streams.rtmp),
    ("/process/stream/{rest...}", byoc_streams.preflight),
]
"""Routes that only `http_ingest` registers; the first match takes a request."""

PLAYBACK: list[tuple[str, Handler]] = [
    ("/stream/{file...}", playback.stream),
    ("/recordings/{manifest}/{file...}", playback.recordings),
    ("/healthz", playback.healthz),
]


def _compile(routes: list[tuple[str, Handler]]) -> list[tuple[str, re.Pattern[str], Handler]]:
    compiled = []
    for route, handler in routes:
        method, _, path = route.rpartition(" ")
        path = re.sub(r"\{(\w+)\.\.\.\}", r"(?P<\1>.*)", path)
        path = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
        compiled.append((method, re.compile(path, re.DOTALL), handler))
    return compiled


class App:
    """ASGI application of one gateway; needs `WireProtocol` under it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._batch = BATCH if gateway.options.http_ingest else {}
        self._routes = _compile((INGEST if gateway.options.http_ingest else []) + PLAYBACK)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request and write its record."""
        wire: Wire = scope["extensions"][EXTENSION]["wire"]
        log = self._gateway.log
        own = scope["path"].startswith(PREFIX)
        head = (scope["method"], wire.target, wire.head)
        record = Record(0, *head) if own else log.begin(*head)
        call = Call(self._gateway, record, scope, receive, send)
        wire.attach()
        try:
            await (control(call) if own else self._handle(call))
        except ResponseSent:
            pass
        except asyncio.CancelledError:  # the connection is gone, there is nobody to respond to
            if record.outcome == "open":
                record.outcome = "aborted"
                record.disconnected_at = record.chunks_sent
        except BaseException:
            record.outcome = "failed"
            raise
        finally:
            wire.detach()
            self._gateway.running.discard(record)
            log.finish(record)

    async def _handle(self, call: Call) -> None:
        handler = self._find(call)
        await call.obey()
        if call.behaviour.echo:
            await _echo(call)
        if call.behaviour.size is not None:
            await _bytes(call, call.behaviour.size)
        await handler(call)

    def _find(self, call: Call) -> Handler:
        if handler := self._batch.get(call.path):
            call.json_errors = True
            return handler if call.method == "POST" else _wrong_method
        for method, pattern_, handler in self._routes:
            if method in {"", call.method} and (match := pattern_.fullmatch(call.path)):
                call.params = match.groupdict()
                return handler
        return _not_found


async def _wrong_method(call: Call) -> None:
    """Respond as the OpenAPI validator does, which only logs what it refuses (CONTRACT.md section 1.0)."""
    await call.respond(200)


async def _not_found(call: Call) -> None:
    await call.text(404, "404 page not found")


async def _echo(call: Call) -> None:
    """Respond with the request body as it arrives."""
    behaviour = call.behaviour
    content_type = call.header("content-type") or "application/octet-stream"
    headers: Headers = [("content-type", content_type)]
    if call.header("content-length"):
        headers.append(("content-length", call.header("content-length")))
    await call.start(behaviour.status or 200, headers, drain=False)
    async for data in call.body():
        await call.chunk(data)
    await call.finish()


async def _bytes(call: Call, size: int) -> None:
    """Respond with that many bytes of the pattern."""
    behaviour = call.behaviour
    step = max(1, -(-size // behaviour.chunks)) if behaviour.chunks > 1 else BLOCK
    headers = [("content-type", "application/octet-stream"), ("content-length", str(size))]
    await call.stream(behaviour.status or 200, headers, pattern(size, step))
