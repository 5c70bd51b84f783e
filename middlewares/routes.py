"""The route table: the gateway's client routes (gateway contract sections 1.1-1.7), and nothing else.

What the gateway serves beside them is internal or dangerous: MediaMTX callbacks, the smoke test, `/vod/`. It answers
a wrong method on some routes with an empty 200, so the methods are part of the table.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from string import ascii_letters, digits

from config.workloads import Workload
from middlewares.exchange import Refusal, Route

_NAME_BYTES = (ascii_letters + digits + "._-").encode()
_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """A route and how it is passed on."""

    route: Route
    methods: frozenset[str]
    allow: bytes
    """The methods, as the value of Allow."""
    target: bytes | None = None
    """Path at the gateway where it is not the client's."""
    identity: bool = False
    """The gateway is asked for an unencoded answer, because a meter reads it."""
    openai: bool = False
    """The body is written as OpenAI clients write it."""
    form: bool = False
    """The body is a form that names a model."""
    job_header: bool = False
    """`Livepeer` carries the job (gateway contract section 1.7)."""


def find_entry(method: str, path: bytes, check_path: Callable[[bytes], None]) -> Entry:
    """The table's entry for a request. `check_path` sees every path that is not literally in the table.

    Raises `Refusal`: 404 for a path that is no client route, 405 for a method the route does not have.
    """
    entry = EXACT.get(path)
    if entry is None:
        check_path(path)
        branch, _, rest = path[1:].partition(b"/")
        find = _BRANCHES.get(branch)
        entry = find(rest) if find else None
        if entry is None:
            raise Refusal(404, "not_found", "There is no such route. Paths are the gateway's own.")
    if method not in entry.methods:
        detail = f"This route takes {entry.allow.decode()}."
        raise Refusal(405, "method_not_allowed", detail, headers=[(b"allow", entry.allow)])
    return entry


def is_name(text: bytes) -> bool:
    """Is this a manifest, stream or file name: 1-200 letters, digits, `.`, `_`, `-`?"""
    return 0 < len(text) <= _NAME_LENGTH and not text.translate(None, _NAME_BYTES)


def _entry(
    name: str,
    workload: Workload,
    methods: str,
    *,
    metered_json: bool = False,
    outlives_client: bool = False,
    begins_work: bool = True,
    identity: bool = False,
    form: bool = False,
    job: bool = False,
) -> Entry:
    allowed = methods.split()
    return Entry(
        Route(name, workload, metered_json, outlives_client, begins_work),
        frozenset(allowed),
        ", ".join(allowed).encode(),
        identity=identity,
        form=form,
        job_header=job,
    )


_JSON = (Workload.TEXT_TO_IMAGE, Workload.LLM, Workload.TEXT_TO_SPEECH)
_BATCH = {
    b"/" + workload.value.encode(): _entry(
        workload.value,
        workload,
        "POST",
        metered_json=workload in _JSON,
        form=workload not in _JSON,
        identity=True,
    )
    for workload in (
        Workload.TEXT_TO_IMAGE,
        Workload.IMAGE_TO_IMAGE,
        Workload.IMAGE_TO_VIDEO,
        Workload.UPSCALE,
        Workload.AUDIO_TO_TEXT,
        Workload.LLM,
        Workload.SEGMENT_ANYTHING_2,
        Workload.IMAGE_TO_TEXT,
        Workload.TEXT_TO_SPEECH,
    )
}


EXACT: dict[bytes, Entry] = {
    **_BATCH,
    **{b"/api/v1/inference" + path: replace(entry, target=path) for path, entry in _BATCH.items()},
    b"/v1/chat/completions": replace(
        _entry("chat-completions", Workload.LLM, "POST", metered_json=True, identity=True), target=b"/llm", openai=True
    ),
    b"/v1/models": _entry("models", Workload.LLM, "GET", begins_work=False),
    b"/image-to-video/result": _entry(
        "image-to-video-result", Workload.IMAGE_TO_VIDEO, "GET POST", identity=True, begins_work=False
    ),
    b"/process/stream/start": _entry("byoc-stream-start", Workload.BYOC, "POST OPTIONS", job=True),
    b"/healthz": _entry("healthz", Workload.PLAYBACK, "GET HEAD", begins_work=False),
}
"""By path, where that is fixed. A target that is one of these needs no other look at its form."""

_LIVE = {
    operation: _entry(
        f"live-{operation.decode()}", Workload.LIVE_VIDEO_TO_VIDEO, methods, begins_work=operation == b"whip"
    )
    for operation, methods in (
        (b"update", "POST OPTIONS"),
        (b"status", "GET OPTIONS"),
        (b"whip", "POST OPTIONS"),
        (b"whep", "POST OPTIONS"),
    )
}
_WHIP_SESSION = _entry("live-whip-session", Workload.LIVE_VIDEO_TO_VIDEO, "DELETE OPTIONS")
_BYOC_STREAM = {
    operation: _entry(f"byoc-stream-{operation.decode()}", Workload.BYOC, methods, job=job, begins_work=False)
    for operation, methods, job in (
        (b"stop", "POST OPTIONS", True),
        (b"update", "POST OPTIONS", True),
        (b"status", "GET OPTIONS", False),
        (b"data", "GET OPTIONS", False),
        (b"whip", "POST OPTIONS", False),
    )
}
_BYOC_REQUEST = _entry("byoc-request", Workload.BYOC, "POST", job=True)
# Encoders hang up after the last byte of a segment; the gateway transcodes it all the same (section 1.5).
_PUSH = _entry("live-push", Workload.TRANSCODING, "POST PUT", outlives_client=True)
_STREAM = _entry("playback", Workload.PLAYBACK, "GET HEAD", begins_work=False)
_RECORDING = _entry("recording", Workload.PLAYBACK, "GET", begins_work=False)


def _live(rest: bytes) -> Entry | None:
    """`{manifest}/{seq}.ts|.mp4`, or `video-to-video/{stream}/{operation}`, or a session below its `whip`."""
    first, _, last = rest.partition(b"/")
    if first == b"video-to-video":
        stream, _, operation = last.partition(b"/")
        if not is_name(stream):
            return None
        if operation.startswith(b"whip/") and is_name(operation[5:]):
            return _WHIP_SESSION
        return _LIVE.get(operation)
    sequence, _, extension = last.rpartition(b".")
    return _PUSH if extension in (b"ts", b"mp4") and is_name(first) and is_name(sequence) else None


def _process(rest: bytes) -> Entry | None:
    """`request/...`, or `stream/{id}/{operation}`."""
    first, slash, last = rest.partition(b"/")
    if first == b"request" and slash:
        return _BYOC_REQUEST
    stream, _, operation = last.partition(b"/")
    return _BYOC_STREAM.get(operation) if first == b"stream" and is_name(stream) else None


def _stream(rest: bytes) -> Entry | None:
    return _STREAM if rest else None


def _recordings(rest: bytes) -> Entry | None:
    """`{manifest}/{file}` with a playlist's or a segment's extension."""
    manifest, _, file = rest.partition(b"/")
    return _RECORDING if is_name(manifest) and file.endswith((b".m3u8", b".mp4", b".ts")) else None


_BRANCHES: dict[bytes, Callable[[bytes], Entry | None]] = {
    b"live": _live,
    b"process": _process,
    b"recordings": _recordings,
    b"stream": _stream,
}
