"""Resources that paths name, as the gateway will know them. Pure; routes of gateway contract sections 1.3-1.7."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from middlewares.exchange import Refusal
from middlewares.routing.traits import Names
from middlewares.tenancy.affinity_table import Resource, ResourceKind
from middlewares.tenancy.names import for_caller

MAX_NAME_LENGTH = 200
"""Longest name in a path (`middlewares.routing.matching`); at the gateway it includes the app's id."""

_RESULT_ID = re.compile("[0-9a-f]{8}")
"""An id that a gateway made up (gateway contract section 1.0)."""
_WHEP_SUFFIX = re.compile(r"(-[^-]*)?-out\Z")
"""What WHEP adds to the name of a stream (gateway contract section 1.4)."""


@dataclass(frozen=True, slots=True)
class PathReading:
    """One reading of a path: the resource it names, and the request target by which the gateway knows it."""

    resource: Resource
    target: bytes


PathReader = Callable[[str, bytes], tuple[PathReading, ...]]
"""Function from app and request target to every possible reading, the likeliest first. Raises `Refusal` (404)."""


def unknown_id() -> Refusal:
    """Return the refusal of a resource that does not exist, which is also that of another app's."""
    return Refusal(404, "unknown_id", "There is nothing of this name, or it has ended.")


def own_name(app: str, name: str) -> str:
    """Return what the gateway calls `name` of this app. Raises `Refusal`: 404 for another app's, 400 if too long."""
    found = for_caller(app, name)
    if found is None:
        raise unknown_id()
    if len(found) > MAX_NAME_LENGTH:
        limit = MAX_NAME_LENGTH - len(found) + len(name)
        raise Refusal(400, "invalid_parameter", f"A name may have at most {limit} characters.")
    return found


def _segment_reader(kind: ResourceKind, index: int, suffix: re.Pattern[str] | None = None) -> PathReader:
    """Return a reader of path segment `index` (of `/live/cam/0.ts`, `cam` is 2), without `suffix`, as a name."""

    def read(app: str, target: bytes) -> tuple[PathReading, ...]:
        path, mark, query = target.partition(b"?")
        segments = path.split(b"/")
        name = own_name(app, segments[index].decode("ascii"))
        segments[index] = name.encode("ascii")
        if suffix is not None:
            name = suffix.sub("", name)
        return (PathReading(Resource(app, kind, name), b"/".join(segments) + mark + query),)

    return read


_read_manifest = _segment_reader(ResourceKind.MANIFEST, 2, re.compile(r"\.m3u8\Z"))


def _read_played_file(app: str, target: bytes) -> tuple[PathReading, ...]:
    """Read `/stream/{id}/{file}` of a result, which keeps the gateway's own id, or a manifest's playlist or segment."""
    readings = _read_manifest(app, target)
    first, _, file = target.partition(b"?")[0].removeprefix(b"/stream/").decode("ascii").partition("/")
    if file and _RESULT_ID.fullmatch(first):
        return PathReading(Resource(app, ResourceKind.RESULT, first), target), *readings
    return readings


def _read_viewed_stream(app: str, target: bytes) -> tuple[PathReading, ...]:
    """Read the name of the stream that WHEP plays, a live or a BYOC stream."""
    [reading] = _segment_reader(ResourceKind.LIVE, 3, _WHEP_SUFFIX)(app, target)
    return reading, PathReading(Resource(app, ResourceKind.BYOC, reading.resource.name), reading.target)


READERS: dict[Names, PathReader] = {
    Names.MANIFEST: _read_manifest,
    Names.PLAYED_FILE: _read_played_file,
    Names.LIVE_STREAM: _segment_reader(ResourceKind.LIVE, 3),
    Names.VIEWED_STREAM: _read_viewed_stream,
    Names.BYOC_STREAM: _segment_reader(ResourceKind.BYOC, 3),
}
"""Readers by what a path names. A name without an entry in the affinity table is in the app's own namespace all the
same: MediaMTX may have brought the stream, or its entry has expired."""

TRACKED_KINDS = frozenset({ResourceKind.BYOC, ResourceKind.RESULT, ResourceKind.VIDEO})
"""Kinds that are created through Tollgate alone: without an entry in the affinity table, a resource does not exist."""


def must_be_known(readings: Sequence[PathReading]) -> bool:
    """Return True if the likeliest reading is a resource that does not exist without an entry."""
    return readings[0].resource.kind in TRACKED_KINDS
