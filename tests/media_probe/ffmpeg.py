"""Media made by the ffmpeg that is installed, and what its ffprobe counts in them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")

SOUND = "sine=frequency=300:sample_rate={rate}:duration={seconds}"
PICTURE = "testsrc=size={size}:rate={rate}:duration={seconds}"


def ffmpeg(path: Path, *arguments: str) -> bytes:
    """Make `path` by one run of ffmpeg, and return its bytes."""
    run("ffmpeg", "-v", "error", "-y", *arguments, str(path))
    return path.read_bytes()


def sound(path: Path, *options: str, rate: int = 44_100, seconds: float = 3) -> bytes:
    """Make a file of one tone."""
    return ffmpeg(path, "-f", "lavfi", "-i", SOUND.format(rate=rate, seconds=seconds), *options)


def picture(path: Path, *options: str, rate: str = "30", seconds: float = 2, size: str = "320x180") -> bytes:
    """Make a file of a moving test picture."""
    return ffmpeg(path, "-f", "lavfi", "-i", PICTURE.format(rate=rate, seconds=seconds, size=size), *options)


def counted(path: Path, stream: str) -> dict[str, Any]:
    """Return what ffprobe says of `stream` (such as `a:0`), with `nb_read_frames` and `nb_read_packets`."""
    arguments = ("-count_frames", "-count_packets", "-select_streams", stream, "-show_streams", "-of", "json")
    streams = json.loads(run("ffprobe", "-v", "quiet", *arguments, str(path)))["streams"]
    first: dict[str, Any] = streams[0]
    return first


def stamps(path: Path) -> list[float]:
    """Return the presentation times of the frames of the first video stream, in seconds, in order."""
    arguments = ("-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0")
    lines = run("ffprobe", "-v", "quiet", *arguments, str(path)).split()
    return sorted(float(line.rstrip(b",")) for line in lines)


def run(*command: str, stdin: bytes | None = None) -> bytes:
    """Run `command` and return what it writes."""
    return subprocess.run(command, check=True, timeout=60, capture_output=True, input=stdin).stdout
