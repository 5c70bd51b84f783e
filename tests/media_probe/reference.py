"""What of a body decodes, by the plainest use of FFmpeg: a process that is given paths and writes what it decoded.

It reads one path a line and writes one line of JSON: milliseconds of the longest audio track, frames of the video
track with the most of them. FFmpeg does not know the file's name, as in go-livepeer. A body
may end it, as may its limits.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections import Counter
from pathlib import Path

import av
import av.logging

from proxy.media_probe.container import FORMATS

RULES = {"format_whitelist": FORMATS}
"""The containers that a gateway takes; FFmpeg has hundreds of others, of games above all."""


def decoded(path: str) -> dict[str, int]:
    """Decode everything in `path`."""
    samples: dict[int, Counter[int]] = {}
    frames: Counter[int] = Counter()
    try:
        with av.open(io.BytesIO(Path(path).read_bytes()), mode="r", options=RULES) as container:
            for stream in container.streams:
                if isinstance(stream, av.AudioStream | av.VideoStream):
                    stream.codec_context.thread_count = 1
            for packet in container.demux(*container.streams.audio, *container.streams.video):
                try:
                    for frame in packet.decode():
                        if isinstance(frame, av.AudioFrame):
                            samples.setdefault(packet.stream.index, Counter())[frame.sample_rate] += frame.samples
                        elif not packet.stream.disposition & av.stream.Disposition.attached_pic:
                            frames[packet.stream.index] += 1
                except (av.FFmpegError, ValueError):
                    continue
    except (av.FFmpegError, ValueError):
        pass
    lengths = [sum(count * 1000 // rate for rate, count in track.items() if rate) for track in samples.values()]
    return {"milliseconds": max(lengths, default=0), "frames": max(frames.values(), default=0)}


if __name__ == "__main__":
    av.logging.set_level(None)
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    for line in sys.stdin:
        print(json.dumps(decoded(line.strip())), flush=True)
