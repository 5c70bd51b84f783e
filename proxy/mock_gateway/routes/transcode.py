"""Segment push: /live/{manifest}/{seq}.ts|.mp4, and whatever else under /live/ no route takes (section 1.5)."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from proxy.mock_gateway import webhooks
from proxy.mock_gateway.call import Call
from proxy.mock_gateway.forms import decode_json
from proxy.mock_gateway.gateway import Gateway, Manifest, Newest
from proxy.mock_gateway.media import BLOCK, TS_PACKET, is_segment, ts

MAX_SEGMENT = 300_000_000
"""Bytes of body that the gateway takes."""
DEFAULT_DURATION = 2_000
"""Milliseconds, when Content-Duration is missing or no integer."""
IDLE = 60.0
"""Seconds without a segment after which a manifest's session is gone."""
DEFAULT_PRESETS = ["P240p30fps16x9", "P360p30fps16x9"]
RESOLUTIONS = {
    "P144p30fps16x9": "256x144",
    "P240p30fps16x9": "426x240",
    "P360p30fps16x9": "640x360",
    "P576p30fps16x9": "1024x576",
    "P720p30fps16x9": "1280x720",
}
CONFIGURATION = {"manifestid": str, "presets": list, "profiles": list}
MIME = {".ts": "video/MP2T", ".mp4": "video/mp4"}


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
    """Take a segment and answer its renditions; the order of the checks is the gateway's."""
    if call.method not in {"POST", "PUT"}:
        await call.text(405, f"http push request wrong method={call.method}")
    config = await _configuration(call)
    head = await _read_segment(call)
    segment = Segment.of(call.path)
    if segment.extension not in MIME:
        await call.text(400, f"ignoring file extension: {segment.extension}")
    if not _slice_is_valid(call):
        await call.text(400, "Invalid slice config")
    if not segment.manifest:
        await call.text(400, "Bad URL")
    if not is_segment(head):
        await call.text(422, "Error getting codec info")
    if find(call.gateway, segment.manifest) is None:
        config = await _authorised(call, config)
    session = _session(call.gateway, segment.manifest, config)
    session.segments[segment.sequence] = _integer(call.header("content-duration"), DEFAULT_DURATION)
    if call.behaviour.no_orchestrators:
        await call.text(503, "No sessions available")
    if call.header("accept") != "multipart/mixed":
        await call.stream(200, [], [])
    boundary = secrets.token_hex(10)
    headers = [("content-type", f"multipart/mixed; boundary={boundary}")]
    await call.stream(200, headers, _parts(call, session, segment, boundary))


async def _configuration(call: Call) -> dict[str, Any]:
    """The client's own transcode configuration, which overrides everything (gateway contract section 3)."""
    text = call.header("livepeer-transcode-configuration")
    try:
        config = decode_json(text.encode(), CONFIGURATION) if text else {}
        config["renditions"] = _renditions(config)
    except ValueError:
        await call.text(400, "failed to parse transcode config header")
    return config


async def _authorised(call: Call, config: dict[str, Any]) -> dict[str, Any]:
    """What the webhook says of a new stream, once; a configuration that the client sent comes first."""
    answer = await webhooks.authorise_url(call.gateway, f"http://{call.header('host')}{call.raw_path}")
    if isinstance(answer, str):
        await call.text(403, "Could not authenticate stream")
    try:
        asked = {name.lower(): value for name, value in answer.items() if name.lower() in CONFIGURATION}
        profiles = config.get("profiles"), asked.get("profiles")
        if all(profiles) and profiles[0] != profiles[1]:
            await call.text(500, "Could not create stream: profiles do not match")
        asked["renditions"] = _renditions(asked | config)
    except ValueError:
        await call.text(403, "Could not authenticate stream")
    return asked | {name: value for name, value in config.items() if name != "renditions"}


async def _read_segment(call: Call) -> bytes:
    """The first two packets of the body, all of which is read but not kept."""
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


def find(gateway: Gateway, manifest: str) -> Manifest | None:
    """A manifest's running session, also by the id that a configuration gave it."""
    session = gateway.manifests.get(gateway.aliases.get(manifest, manifest))
    idle = session is not None and asyncio.get_running_loop().time() - session.last_used > IDLE
    return None if idle else session


def _session(gateway: Gateway, manifest: str, config: dict[str, Any]) -> Manifest:
    """The manifest's session, new or joined: the namespace is global (section 1.5)."""
    now = asyncio.get_running_loop().time()
    session = find(gateway, manifest)
    if session is None:
        inner = str(config.get("manifestid") or manifest)
        session = find(gateway, inner) or Manifest(config["renditions"], Newest(), now)
        gateway.manifests[inner] = session
        if inner != manifest:
            gateway.aliases[manifest] = inner
    session.last_used = now
    return session


def _renditions(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and resolution of each rendition of a configuration, else of the default presets."""
    presets = [name for name in config.get("presets", []) if isinstance(name, str) and name in RESOLUTIONS]
    renditions = [(name, RESOLUTIONS[name]) for name in presets]
    for profile in config.get("profiles", []):
        if not isinstance(profile, dict):
            raise ValueError("json: cannot unmarshal profile")
        resolution = f"{profile.get('width', 0)}x{profile.get('height', 0)}"
        name = str(profile.get("name") or "") or f"webhook_{resolution}_{profile.get('bitrate', 0)}"
        renditions.append((name, resolution))
    return renditions or [(name, RESOLUTIONS[name]) for name in DEFAULT_PRESETS]


def _parts(call: Call, session: Manifest, segment: Segment, boundary: str) -> Iterator[bytes]:
    """The multipart answer: a rendition's bytes in each part, or its URL when there is an object store."""
    told, stored = call.behaviour, call.gateway.external_store
    for name, _ in session.renditions[: told.renditions]:
        path = f"{segment.manifest}/{name}/{segment.sequence}{segment.extension}"
        url = f"{call.gateway.url}/__mock/store/stream/{path}".encode()
        size = len(url) if stored else -(-told.rendition_bytes // TS_PACKET) * TS_PACKET
        mime = "application/vnd+livepeer.uri" if stored else MIME[segment.extension]
        file = f'"{name}_{segment.sequence}{".txt" if stored else segment.extension}"'
        yield (
            f"--{boundary}\r\nContent-Disposition: attachment; filename={file}\r\nContent-Length: {size}\r\n"
            f"Content-Type: {mime}; name={file}\r\nRendition-Name: {name}\r\n\r\n"
        ).encode()
        yield from [url] if stored else _packets(size)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _packets(size: int) -> Iterator[bytes]:
    block = ts(BLOCK)
    return (block[: size - start] for start in range(0, size, len(block)))
