"""Playlists, segments, results and recordings (CONTRACT.md section 1.6)."""

from proxy.mock_gateway import webhooks
from proxy.mock_gateway.call import Call
from proxy.mock_gateway.gateway import Manifest
from proxy.mock_gateway.media import TS_PACKET, Result
from proxy.mock_gateway.routes.manifests import find

PLAYLIST = "application/x-mpegURL"
OPEN = [("access-control-allow-origin", "*")]
WINDOW = 5
"""Segments in a live playlist."""


async def stream(call: Call) -> None:
    """GET /stream/...: a generated file, a master or media playlist, or a segment; anything else is 404."""
    if result := call.gateway.results.get(call.path):
        await call.respond(200, result.render(), result.content_type, OPEN)
    parts = call.params["file"].split("/")
    session = find(call.gateway, parts[0].removesuffix(".m3u8"))
    match parts:
        case [name] if session and name.endswith(".m3u8"):
            await _playlist(call, _master(session, "/stream/" + name.removesuffix(".m3u8") + "/"))
        case [manifest, name] if session and name.endswith(".m3u8") and _has(session, name):
            await _playlist(call, _media(session, f"/stream/{manifest}/{name.removesuffix('.m3u8')}/", live=True))
        case [_, profile, file] if session and _has(session, profile) and _segment(session, file):
            segment = Result("ts", size=4 * TS_PACKET)
            await call.respond(200, segment.render(), segment.content_type, OPEN)
    await call.text(404, "ErrNotFound")


async def recordings(call: Call) -> None:
    """GET /recordings/{manifest}/{file}: what was pushed, once there is a record store."""
    session = find(call.gateway, call.params["manifest"])
    stem, _, extension = call.params["file"].rpartition(".")
    if extension not in {"m3u8", "ts", "mp4"}:
        await call.respond(400)
    if session is None or not call.gateway.options.external_store:
        await call.text(404, "not found")
    await _authorise(call)
    match stem, extension:
        case "index", "m3u8":
            await _playlist(call, _master(session, ""))
        case _, "m3u8" if _has(session, stem):
            await _playlist(call, _media(session, f"{stem}/", live=False))
        case _, "mp4" if _has(session, stem):
            video = Result("mp4", milliseconds=sum(session.segments.values()))
            headers = [
                ("content-type", video.content_type),
                ("content-disposition", f"attachment; filename={stem}.mp4;"),
            ]
            # The FFmpeg of the official build cannot fetch the segments: it has no http protocol.
            await call.stream(200, OPEN + headers, [] if call.gateway.options.stock_ffmpeg else [video.render()])
        case _, "ts" if _segment(session, stem.rpartition("/")[2] + ".ts"):
            segment = Result("ts", size=4 * TS_PACKET)
            await call.respond(200, segment.render(), segment.content_type, OPEN)
    await call.text(404, "not found")


async def _authorise(call: Call) -> None:
    """Let the webhook decide whether a recording may be read, once per manifest."""
    gateway, manifest = call.gateway, call.params["manifest"]
    if manifest not in gateway.readable:
        response = await webhooks.authorise_url(gateway, call.raw_path)
        if isinstance(response, str):
            await call.text(404 if "not found" in response else 403, response)
        gateway.readable[manifest] = True


async def healthz(call: Call) -> None:
    """/healthz: 200, empty."""
    await call.respond(200)


async def _playlist(call: Call, lines: list[str]) -> None:
    headers = [*OPEN, ("cache-control", "max-age=5")]
    await call.respond(200, "\n".join([*lines, ""]).encode(), PLAYLIST, headers)


def _has(session: Manifest, rendition: str) -> bool:
    name = rendition.removesuffix(".m3u8")
    return name == "source" or any(name == known for known, _ in session.renditions)


def _segment(session: Manifest, file: str) -> bool:
    stem, _, extension = file.rpartition(".")
    return stem.isdecimal() and extension in {"ts", "mp4"} and int(stem) in session.segments


def _master(session: Manifest, prefix: str) -> list[str]:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3"]
    for name, resolution in session.renditions:
        lines += [f"#EXT-X-STREAM-INF:PROGRAM-ID=0,BANDWIDTH=400000,RESOLUTION={resolution}", f"{prefix}{name}.m3u8"]
    return lines


def _media(session: Manifest, prefix: str, *, live: bool) -> list[str]:
    segments = sorted(session.segments.items())[-WINDOW if live else 0 :]
    first = segments[0][0] if segments else 0
    longest = max((duration for _, duration in segments), default=0)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        f"#EXT-X-TARGETDURATION:{-(-longest // 1000)}",
    ]
    for sequence, duration in segments:
        lines += [f"#EXTINF:{duration // 1000}.{duration % 1000:03},", f"{prefix}{sequence}.ts"]
    return lines if live else [*lines, "#EXT-X-ENDLIST"]
