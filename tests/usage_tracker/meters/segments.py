"""Segments made by ffmpeg, with their duration and frames by ffprobe."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

VIDEO = ("-f", "lavfi", "-i", "testsrc=size={size}:rate={rate}:duration={seconds}")
SOUND = ("-f", "lavfi", "-i", "sine=duration={seconds}")
CODEC = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-x264-params",
    "bframes=2:threads=1",
    "-c:a",
    "aac",
    "-threads",
    "1",
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A file's bytes, with duration and frames of its video (of its audio if it has no video) by ffprobe."""

    data: bytes
    seconds: Fraction
    frames: int


@cache
def segment(
    container: str,
    rate: str = "30",
    *options: str,
    seconds: str = "1",
    size: str = "160x90",
    video: bool = True,
    sound: bool = True,
) -> Segment:
    """Return a segment of a test picture and a tone; the same arguments give the same object."""
    words = {"rate": rate, "seconds": seconds, "size": size}
    inputs = [part.format(**words) for part in (*(VIDEO if video else ()), *(SOUND if sound else ()))]
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"segment.{container}"
        subprocess.run(["ffmpeg", "-v", "error", *inputs, *CODEC, *options, str(file)], check=True, timeout=60)
        return Segment(file.read_bytes(), *_probe(file, "v" if video else "a"))


def _probe(file: Path, kind: str) -> tuple[Fraction, int]:
    shown = ("-show_entries", "stream=duration", "-count_packets", "-show_entries", "stream=nb_read_packets")
    command = ("ffprobe", "-v", "error", "-select_streams", kind, *shown, "-of", "json", str(file))
    stream = json.loads(subprocess.run(command, check=True, timeout=60, capture_output=True).stdout)["streams"][0]
    return Fraction(stream["duration"]), int(stream["nb_read_packets"])


def multipart(*parts: tuple[str, str, bytes], boundary: str = "b0undary") -> bytes:
    """Return a multipart response as the gateway writes it: name, content type and body of each rendition."""
    text = b""
    for name, kind, body in parts:
        head = (
            f'--{boundary}\r\nContent-Disposition: attachment; filename="{name}"\r\nContent-Length: {len(body)}\r\n'
            f'Content-Type: {kind}; name="{name}"\r\nRendition-Name: {name}\r\n\r\n'
        )
        text += head.encode() + body + b"\r\n"
    return text + f"--{boundary}--\r\n".encode()
