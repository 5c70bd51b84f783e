"""Segment push: /live/{manifest}/{seq}.ts|.mp4 and all else under /live/ (CONTRACT.md section 1.5)."""

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from proxy.mock_gateway import webhooks
from proxy.mock_gateway.call import Call
from proxy.mock_gateway.gateway import Manifest
from proxy.mock_gateway.media import BLOCK, TS_PACKET, is_segment, ts
from proxy.mock_gateway.routes.forms import decode_json
from proxy.mock_gateway.routes.manifests import find, join, renditions_of
from proxy.mock_gateway.video import one_picture, scaled

MAX_SEGMENT = 300_000_000
"""Bytes of body that the gateway takes."""
DEFAULT_DURATION = 2_000
"""Milliseconds, when Content-Duration is missing or no integer."""
CONFIGURATION = {"manifestid": str, "presets": list, "profiles": list}
MIME = {".ts": "video/mp2t", ".mp4": "video/mp4"}


class Segment(NamedTuple):
    """Where a segment goes, from its path; no manifest if the path names none."""

    manifest: str
    sequence: int
    extension: str

    @classmethod
    def of(cls, path: str) -> Self:
        """Split /live/{manifest}/{sequence}.{extension}; a lone /live/{manifest}.{extension} is number 0."""
        parts = path.removeprefix("/live/").split("/")
        stem, dot, extension = parts[-1].rpartition(".")
        if not dot:
            stem, extension = extension, ""
        return cls(stem if len(parts) == 1 else parts[0], _integer(stem, 0), dot + extension)


async def push(call: Call) -> None:
    """Take a segment and respond with its renditions; order and texts of the checks are the gateway's."""
    host = call.header("host")
    if call.method not in {"POST", "PUT"}:
        await call.text(405, f"http push request wrong method={call.method} url={call.raw_path} host={host}")
    config = await _configuration(call)
    head = await _read_segment(call)
    segment = Segment.of(call.path)
    if segment.extension not in MIME:
        await call.text(400, f"ignoring file extension: {segment.extension}")
    if not _slice_is_valid(call):
        await call.text(400, "Invalid slice config")
    if not segment.manifest:
        await call.text(400, f"Bad URL url={_url(call)}")
    if not is_segment(head):
        await call.text(422, f"Error getting codec info url={_url(call)}")
    if find(call.gateway, segment.manifest) is None:
        config = await _authorised(call, config)
    session = join(call.gateway, segment.manifest, config)
    session.segments[segment.sequence] = _integer(call.header("content-duration"), DEFAULT_DURATION)
    if call.behaviour.no_orchestrators:
        await call.text(503, "No sessions available")
    if call.header("accept") != "multipart/mixed":
        await call.stream(200, [], [])
    boundary = secrets.token_hex(10)
    headers = [("content-type", f"multipart/mixed; boundary={boundary}")]
    await call.stream(200, headers, _parts(call, session, segment, boundary))


async def _configuration(call: Call) -> dict[str, Any]:
    """Return the client's own transcode configuration, which overrides everything (CONTRACT.md section 3)."""
    text = call.header("livepeer-transcode-configuration")
    try:
        config = decode_json(text.encode(), CONFIGURATION) if text else {}
        config["renditions"] = renditions_of(config)
    except ValueError:
        await call.text(400, "failed to parse transcode config header")
    return config


async def _authorised(call: Call, config: dict[str, Any]) -> dict[str, Any]:
    """Call the webhook for a new stream; return its configuration, over which the client's own takes precedence."""
    response = await webhooks.authorise_url(call.gateway, _url(call))
    if isinstance(response, str):
        await call.text(403, f"Could not create stream ID: url={_url(call)}")
    try:
        chosen = {name.lower(): value for name, value in response.items() if name.lower() in CONFIGURATION}
        profiles = config.get("profiles"), chosen.get("profiles")
        if all(profiles) and profiles[0] != profiles[1]:
            await call.text(500, f"Could not create stream ID: url={_url(call)}")
        chosen["renditions"] = renditions_of(chosen | config)
    except ValueError:
        await call.text(403, f"Could not create stream ID: url={_url(call)}")
    return chosen | {name: value for name, value in config.items() if name != "renditions"}


def _url(call: Call) -> str:
    """Return the URL of the segment as the gateway sees it, which its error texts name."""
    return f"http://{call.header('host')}{call.raw_path}"


async def _read_segment(call: Call) -> bytes:
    """Read the whole body; return its first two packets."""
    head = b""
    async for data in call.body():
        if len(head) < 2 * TS_PACKET:
            head += data[: 2 * TS_PACKET]
    if call.record.body_length > MAX_SEGMENT:
        await call.text(500, "Error reading http request body: input bigger than max buffer size")
    return head


def _slice_is_valid(call: Call) -> bool:
    start = _integer(call.header("content-slice-from"), 0)
    stop = _integer(call.header("content-slice-to"), 0)
    return not 0 < stop < start


def _integer(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default


def _parts(call: Call, session: Manifest, segment: Segment, boundary: str) -> Iterator[bytes]:
    """Yield the multipart response: a rendition's bytes in each part, or its URL when there is an object store."""
    behaviour, stored = call.behaviour, call.gateway.options.external_store
    for name, resolution in session.renditions[: behaviour.renditions]:
        path = f"{segment.manifest}/{name}/{segment.sequence}{segment.extension}"
        url = f"{call.gateway.url}/__mock/store/stream/{path}".encode()
        video = b"" if stored else _video(behaviour.source, resolution)
        packets = max(-(-behaviour.rendition_bytes // TS_PACKET), len(video) // TS_PACKET)
        size = len(url) if stored else packets * TS_PACKET
        mime = "application/vnd+livepeer.uri" if stored else MIME[segment.extension]
        file = f'"{name}_{segment.sequence}{".txt" if stored else segment.extension}"'
        yield (
            f"--{boundary}\r\nContent-Disposition: attachment; filename={file}\r\nContent-Length: {size}\r\n"
            f"Content-Type: {mime}; name={file}\r\nRendition-Name: {name}\r\n\r\n"
        ).encode()
        yield from [url] if stored else [video, *_null_packets(size - len(video))]
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _video(source: tuple[int, int] | None, resolution: str) -> bytes:
    """Return one picture of the rendition's size, which keeps the source's aspect ratio; empty without a source."""
    if source is None:
        return b""
    width, height = (_integer(side, 0) for side in resolution.split("x"))
    return one_picture(*scaled((width, height), source))


def _null_packets(size: int) -> Iterator[bytes]:
    block = ts(BLOCK)
    return (block[: size - start] for start in range(0, size, len(block)))
