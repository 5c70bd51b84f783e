"""What a gateway makes of requests that leave it unsaid, and where its orchestrators stop.

Edge bounds what a request may cost by these before it is admitted, meters count by them afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

VIDEO_FRAMES = 25
"""Frames of every generated video, whatever was requested (gateway contract sections 1.1 and 6.1)."""
VIDEO_SIZE = (1024, 576)
"""Width and height of a generated video whose request names none (gateway contract section 1.1)."""
ASSUMED_SEGMENT_MS = 2_000
"""What a segment without a duration is taken for (gateway contract section 1.5)."""
LONGEST_SEGMENT_MS = 300_000
"""Longest segment that orchestrators take; a longer duration is cut to it."""


class Preset(NamedTuple):
    """A named profile of renditions. Sizes are in pixels, rates in frames per second."""

    name: bytes
    width: int
    height: int
    rate: int


DEFAULT_PRESETS = (Preset(b"P240p30fps16x9", 426, 240, 30), Preset(b"P360p30fps16x9", 640, 360, 30))
"""The renditions that a gateway makes of a segment for which none are requested (gateway contract section 6.2)."""
