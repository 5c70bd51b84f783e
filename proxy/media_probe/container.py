"""Opens a body with FFmpeg so that nothing but that body can be read."""

from __future__ import annotations

import os
from typing import Any, Protocol

import av
import av.container

FORMATS = ",".join(
    (
        *("aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dts", "eac3", "flac", "flv", "loas"),
        *("matroska", "webm", "mov", "mp4", "m4a", "mp2", "mp3", "mpeg", "mpegts", "ogg", "tta", "w64", "wav", "wv"),
    )
)
"""Containers that carry their own frames. Playlists, manifests, session descriptions and the like are not of them."""

MOST_STREAMS = 64


class MediaBody(Protocol):
    """A file that FFmpeg reads and seeks in."""

    def read(self, count: int, /) -> bytes:
        """Return at most `count` bytes, none at the end."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Move to `offset` bytes from the start, the position or the end, and return the new position."""

    def tell(self) -> int:
        """Return the position."""


class BodyFile:
    """The first `size` bytes behind a file descriptor, as a file that has its own position."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._position = 0

    def read(self, count: int) -> bytes:
        """Return at most `count` bytes, none at the end."""
        count = min(count, self._size - self._position)
        data = os.pread(self._descriptor, count, self._position) if count > 0 else b""
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` bytes from the start, the position or the end, and return the new position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"Expected a position in the file, got {start + offset}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


class _Pipe:
    """A body that can only be read from its start to its end."""

    def __init__(self, file: MediaBody) -> None:
        file.seek(0)
        self.read = file.read


def open_container(file: MediaBody, **options: str) -> av.container.InputContainer:
    """Open `file` from its start. Raises `av.FFmpegError` where FFmpeg cannot read it.

    FFmpeg gets a file that is open already, and may open nothing else: no protocol is allowed to what a container
    refers to, whatever its scheme.
    """
    file.seek(0)
    return _open(file, {**_RULES, **options})


def container_milliseconds(file: MediaBody) -> int | None:
    """Return the duration that the container claims, as a reader sees it that cannot seek; None if it claims none.

    go-livepeer writes the body into a pipe and takes `AVFormatContext.duration` (lpms: `GetCodecInfoBytes`).
    """
    try:
        with _open(_Pipe(file), _RULES) as container:
            return claimed_milliseconds(container)
    except (av.FFmpegError, ValueError):
        return None


def claimed_milliseconds(container: av.container.InputContainer) -> int | None:
    """Return the duration that an open container claims; None if it claims none."""
    duration = container.duration
    return None if duration is None or duration < 0 else duration * 1000 // av.time_base


def _open(file: Any, options: dict[str, str]) -> av.container.InputContainer:
    container: av.container.InputContainer = av.open(file, mode="r", options=options, metadata_errors="replace")
    return container


_RULES = {"protocol_whitelist": "none", "format_whitelist": FORMATS, "max_streams": str(MOST_STREAMS)}
