"""What the worker and its probe processes write to each other, as the worker reads and writes it.

A probe process has read what a client sent, so the worker trusts its words no more than the client's: everything is
checked for its type and bounds.
"""

from __future__ import annotations

import json
import math
from typing import Any

from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, Verdict, VideoTrack

LONGEST_LINE = 65_536
LARGEST_NUMBER = 2**48
_MOST_TRACKS = 64


class Garbage(ValueError):
    """A probe process wrote something that is none of its messages."""


def request_line(number: int, kind: MediaKind, *, size: int, inline: bool, cpu_seconds: float) -> bytes:
    """Return the request to measure a body of `size` bytes, which follow the line if they are `inline`.

    `number` comes back with what the process says to this request.
    """
    fields: dict[str, Any] = {"number": number, "kind": kind, "size": size, "inline": size if inline else 0}
    fields["cpu_seconds"] = cpu_seconds
    return json.dumps(fields).encode() + b"\n"


def message_of(line: bytes) -> tuple[int, str, Any]:
    """Return of one message the number of the request it is about, its name and its value. Raises `Garbage`."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise Garbage("Expected JSON") from None
    if not isinstance(message, dict) or len(message) != 2:
        raise Garbage("Expected an object of two members")
    number = message.pop("number", None)
    if type(number) is not int:
        raise Garbage("Expected a number")
    return number, *next(iter(message.items()))


def ready_of(value: Any) -> list[str]:
    """Return the names of the restrictions that a process starts with. Raises `Garbage`."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise Garbage("Expected a list of names")
    return value


def measure_of(value: Any, verdict: Verdict | None = None) -> MediaMeasure:
    """Return the measurement that a process reports, with `verdict` if it reports none. Raises `Garbage`."""
    if not isinstance(value, dict):
        raise Garbage("Expected an object")
    video = value.get("video", [])
    if not isinstance(video, list) or len(video) > _MOST_TRACKS:
        raise Garbage("Expected a list of tracks")
    try:
        verdict = verdict or Verdict(str(value.get("verdict")))
    except ValueError:
        raise Garbage("Expected a verdict") from None
    container, claimed = value.get("container_milliseconds"), value.get("claimed_milliseconds")
    return MediaMeasure(
        verdict=verdict,
        milliseconds=_count(value.get("milliseconds", 0)),
        container_milliseconds=None if container is None else _count(container),
        claimed_milliseconds=None if claimed is None else _count(claimed),
        video=tuple(_track(track) for track in video),
        audio_tracks=_count(value.get("audio_tracks", 0)),
    )


def _track(value: Any) -> VideoTrack:
    if not isinstance(value, dict):
        raise Garbage("Expected an object")
    rate = value.get("frames_per_second")
    if not isinstance(rate, float) or not math.isfinite(rate) or rate <= 0:
        raise Garbage("Expected a rate")
    return VideoTrack(
        frames=_count(value.get("frames")),
        frames_per_second=rate,
        span_milliseconds=_count(value.get("span_milliseconds")),
        milliseconds=_count(value.get("milliseconds")),
        width=_count(value.get("width")),
        height=_count(value.get("height")),
    )


def _count(value: Any) -> int:
    """Return a whole number that is none of a client's jokes: what is larger than any body holds is cut to a bound."""
    if type(value) is not int or value < 0:
        raise Garbage("Expected a whole number from 0")
    return min(value, LARGEST_NUMBER)
