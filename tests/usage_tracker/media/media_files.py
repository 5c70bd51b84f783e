"""Media files made by ffmpeg, once for a test session, and their durations by ffprobe."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from pathlib import Path

TONE = "sine=frequency=440:sample_rate=44100:duration=7.3"
SOUNDS: dict[str, tuple[str, ...]] = {
    "pcm.wav": (),
    "float.wav": ("-c:a", "pcm_f32le"),
    "adpcm.wav": ("-c:a", "adpcm_ima_wav"),
    "many-channels.wav": ("-ac", "6"),
    "plain.flac": (),
    "counted.mp3": (),
    "counted-vbr.mp3": ("-q:a", "4"),
    "uncounted.mp3": ("-write_xing", "0"),
    "uncounted-fast.mp3": ("-write_xing", "0", "-b:a", "128k"),
    "mpeg2-mono.mp3": ("-ar", "22050", "-ac", "1", "-b:a", "32k"),
    "tagged.mp3": ("-write_xing", "0", "-write_id3v1", "1", "-metadata", "title=" + "x" * 5000),
    "vorbis.ogg": ("-c:a", "libvorbis"),
    "opus.ogg": ("-c:a", "libopus"),
    "speech.opus": ("-c:a", "libopus", "-b:a", "16k", "-ac", "1"),
    "flac.ogg": ("-c:a", "flac"),
    "times-last.m4a": (),
    "times-first.m4a": ("-movflags", "+faststart"),
    "lossless.m4a": ("-c:a", "alac"),
    "fragments.mp4": ("-movflags", "frag_keyframe+empty_moov", "-frag_duration", "1000000"),
    "sound.mov": (),
}
"""Encoder options by file name."""
ONE_PER_CONTAINER = ("pcm.wav", "plain.flac", "counted.mp3", "opus.ogg", "times-last.m4a")
"""One sound of each container."""
OTHER_SOUNDS: dict[str, tuple[str, ...]] = {"sound.webm": (), "sound.aac": ()}
"""Sounds in further containers that a gateway takes."""
PICTURES: dict[str, tuple[str, ...]] = {
    "rgb.png": ("-pix_fmt", "rgb24"),
    "grey.png": ("-pix_fmt", "gray"),
    "baseline.jpg": (),
    "large-tables.jpg": ("-huffman", "default", "-pix_fmt", "yuvj444p"),
    "lossy.webp": ("-c:v", "libwebp"),
    "lossless.webp": ("-c:v", "libwebp", "-lossless", "1"),
    "transparent.webp": ("-c:v", "libwebp", "-pix_fmt", "yuva420p"),
    "palette.gif": (),
}
SIZES = ((1, 1), (64, 48), (333, 77), (1920, 1080))


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tollgate-media-")


def _run(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _encoded(source: str, once: bool, outputs: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, bytes]:
    """Run ffmpeg once for all outputs, and return them by name."""
    folder = Path(_folder().name)
    frames = ("-frames:v", "1") if once else ()
    files = [(*options, *frames, str(folder / name)) for name, options in outputs]
    _run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, *(part for file in files for part in file))
    return {name: (folder / name).read_bytes() for name, _ in outputs}


def sounds() -> dict[str, bytes]:
    """Return every sound of `SOUNDS`, seven seconds long."""
    return _encoded(TONE, False, tuple(SOUNDS.items()))


def one_per_container() -> dict[str, bytes]:
    """Return only the sounds of `ONE_PER_CONTAINER`."""
    return _encoded(TONE, False, tuple((name, SOUNDS[name]) for name in ONE_PER_CONTAINER))


def other_sounds() -> dict[str, bytes]:
    """Return the sounds of `OTHER_SOUNDS`."""
    return _encoded("sine=frequency=440:duration=2", False, tuple(OTHER_SOUNDS.items()))


def pictures(width: int, height: int) -> dict[str, bytes]:
    """Return every picture of `PICTURES` in one size."""
    named = tuple((f"{width}x{height}-{name}", options) for name, options in PICTURES.items())
    found = _encoded(f"testsrc=size={width}x{height}", True, named)
    return {name.partition("-")[2]: data for name, data in found.items()}


def seconds(name: str) -> float:
    """Return the duration by ffprobe of a sound that was made before."""
    shown = _run(
        "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "json", f"{_folder().name}/{name}"
    )
    return float(json.loads(shown)["format"]["duration"])
