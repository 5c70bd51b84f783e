"""What the path of each route names, as the gateway will know it. Pure; routes of gateway contract sections 1.3-1.7."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from middlewares.exchange import Refusal
from middlewares.routing.traits import Names
from middlewares.tenancy.affinity_table import Resource, ResourceKind
from middlewares.tenancy.names import for_caller

NAME_LENGTH = 200
"""Of names that the gate's routes take (`middlewares.routes`); the gateway shows them the app's id included."""

_RESULT = re.compile("[0-9a-f]{8}")
"""An id that a gateway made up (gateway contract section 1.0)."""
_VIEWED = re.compile(r"(-[^-]*)?-out\Z")
"""What WHEP adds to the name of a stream (section 1.4)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a path: the resource it names, and the request target by which the gateway knows it."""

    resource: Resource
    target: bytes


Reader = Callable[[str, bytes], tuple[Reading, ...]]
"""App and request target in, every possible reading out, the likeliest first. Raises `Refusal` (404)."""


def not_found() -> Refusal:
    """The same for what does not exist and for what is another's."""
    return Refusal(404, "unknown_id", "There is nothing of this name, or it has ended.")


def own_name(app: str, name: str) -> str:
    """What the gateway calls `name` of this app. Raises `Refusal`: 404 for another app's, 400 for one too long."""
    found = for_caller(app, name)
    if found is None:
        raise not_found()
    if len(found) > NAME_LENGTH:
        most = NAME_LENGTH - len(found) + len(name)
        raise Refusal(400, "invalid_parameter", f"A name may have at most {most} characters.")
    return found


def _segment(kind: ResourceKind, index: int, suffix: re.Pattern[str] | None = None) -> Reader:
    """Reads the path segment `index` (of `/live/cam/0.ts`, `cam` is 2), without `suffix`, as a name of the app's."""

    def read(app: str, target: bytes) -> tuple[Reading, ...]:
        path, mark, query = target.partition(b"?")
        segments = path.split(b"/")
        name = own_name(app, segments[index].decode("ascii"))
        segments[index] = name.encode("ascii")
        if suffix is not None:
            name = suffix.sub("", name)
        return (Reading(Resource(app, kind, name), b"/".join(segments) + mark + query),)

    return read


_manifest = _segment(ResourceKind.MANIFEST, 2, re.compile(r"\.m3u8\Z"))


def _stream(app: str, target: bytes) -> tuple[Reading, ...]:
    """`/stream/{id}/{file}` of a result, which keeps the gateway's own id, or a manifest's playlists and segments."""
    readings = _manifest(app, target)
    first, _, file = target.partition(b"?")[0].removeprefix(b"/stream/").decode("ascii").partition("/")
    if file and _RESULT.fullmatch(first):
        return Reading(Resource(app, ResourceKind.RESULT, first), target), *readings
    return readings


def _viewed(app: str, target: bytes) -> tuple[Reading, ...]:
    """The stream that WHEP plays, which may be a BYOC stream's, too."""
    [reading] = _segment(ResourceKind.LIVE, 3, _VIEWED)(app, target)
    return reading, Reading(Resource(app, ResourceKind.BYOC, reading.resource.name), reading.target)


READERS: dict[Names, Reader] = {
    Names.MANIFEST: _manifest,
    Names.PLAYED_FILE: _stream,
    Names.LIVE_STREAM: _segment(ResourceKind.LIVE, 3),
    Names.VIEWED_STREAM: _viewed,
    Names.BYOC_STREAM: _segment(ResourceKind.BYOC, 3),
}
"""By what a path names. A name that is not placed yet is in the app's own namespace all the same: MediaMTX may have
brought the stream, or its placement has expired."""

PLACED_HERE = frozenset({ResourceKind.BYOC, ResourceKind.RESULT, ResourceKind.VIDEO})
"""Come into being through the gate alone: what is not placed does not exist."""


def must_be_placed(readings: Sequence[Reading]) -> bool:
    """Is the likeliest reading one that does not exist unless it is placed?"""
    return readings[0].resource.kind in PLACED_HERE
