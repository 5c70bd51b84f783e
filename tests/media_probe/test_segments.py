"""Segments of every container and codec that a gateway takes: frames, rate, span and size."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from middlewares.ledger.model import Provenance
from middlewares.usage_tracker.media_probe import MediaKind, Verdict
from middlewares.usage_tracker.meters.renditions import scaled
from tests.media_probe.ffmpeg import counted, ffmpeg, needs_ffmpeg, picture, stamps
from tests.media_probe.running import RunningProbe
from tests.usage_tracker.meters.pushes import pixels, pushed, times
from tests.usage_tracker.meters.segments import multipart

pytestmark = needs_ffmpeg


@dataclass(frozen=True)
class Segment:
    """A segment of two seconds and how to make it."""

    name: str
    options: str
    rate: str = "30"
    size: str = "320x180"


PROFILE = {"name": "P240p30fps16x9", "width": 426, "height": 240, "bitrate": 600_000}
X264 = "-c:v libx264 -preset ultrafast"
SEGMENTS = (
    Segment("plain.ts", X264),
    Segment("b-frames.ts", f"{X264} -bf 3"),
    Segment("b-pyramid.mp4", "-c:v libx264 -bf 3 -b_strategy 0 -x264-params b-pyramid=normal"),
    Segment("open-gop.ts", "-c:v libx264 -x264-params open-gop=1:keyint=15"),
    Segment("slices.ts", f"{X264} -slices 4"),
    Segment("many-key-frames.ts", f"{X264} -g 5"),
    Segment("15.ts", X264, "15"),
    Segment("film.ts", X264, "24000/1001"),
    Segment("24.mp4", X264, "24"),
    Segment("pal.ts", X264, "25"),
    Segment("ntsc.ts", X264, "30000/1001"),
    Segment("50.mp4", X264, "50"),
    Segment("59-94.ts", X264, "60000/1001"),
    Segment("60.ts", X264, "60"),
    Segment("120.mp4", X264, "120"),
    Segment("portrait.ts", X264, size="180x320"),
    Segment("square.mp4", X264, size="400x400"),
    Segment("odd-size.ts", X264, size="426x240"),
    Segment("hd.ts", X264, size="1280x720"),
    Segment("interlaced.ts", f"{X264} -flags +ildct+ilme -x264-params tff=1", "25"),
    Segment("wrapping.ts", f"{X264} -output_ts_offset 95442", "25"),
    Segment("late-start.mp4", f"{X264} -output_ts_offset 5", "25"),
    Segment("fragmented.mp4", f"{X264} -g 15 -movflags +frag_keyframe+empty_moov"),
    Segment("faststart.mp4", f"{X264} -bf 2 -movflags +faststart"),
    Segment("plain.mov", X264),
    Segment("plain.mkv", f"{X264} -bf 2"),
    Segment("plain.flv", X264),
    Segment("hevc.ts", "-c:v libx265 -preset ultrafast -x265-params log-level=none"),
    Segment("hevc.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3"),
    Segment("vp8.webm", "-c:v libvpx -deadline realtime -cpu-used 8"),
    Segment("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
    Segment("vp9.mp4", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
    Segment("mpeg2.ts", "-c:v mpeg2video"),
    Segment("mpeg4.mp4", "-c:v mpeg4 -bf 2"),
)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("made", SEGMENTS, ids=lambda made: made.name)
def test_segment(made: Segment, probe: RunningProbe, tmp_path: Path) -> None:
    path = tmp_path / made.name
    body = picture(path, *made.options.split(), rate=made.rate, size=made.size)
    found = probe.measure(body, MediaKind.SEGMENT)
    assert found.verdict is Verdict.MEASURED
    (track,) = found.video
    frames = int(counted(path, "v:0")["nb_read_frames"])
    rate = Fraction(made.rate)
    frame = float(1000 / rate)
    assert track.frames == frames
    assert (f"{track.width}x{track.height}") == made.size
    assert abs(track.frames_per_second - float(rate)) <= 0.02 * float(rate)
    assert abs(track.span_milliseconds - frames * frame) <= frame + 1
    assert abs(track.milliseconds - frames * frame) <= frame + 1
    assert found.milliseconds == track.milliseconds
    check_what_is_sold(probe, made, body, frames)


def check_what_is_sold(probe: RunningProbe, made: Segment, body: bytes, frames: int) -> None:
    """Check the meter's word on the segment alone, and on a response that brings it as a rendition beside a link."""
    width, height = map(int, made.size.split("x"))
    frame = float(1000 / Fraction(made.rate))
    alone = probe.run(pushed(probe.tools, body, profiles=[PROFILE], content_duration="1"))
    assert times(alone)[1] is Provenance.MEASURED
    assert abs(times(alone)[0] - frames * frame) <= frame + 1
    across, down = scaled((426, 240), (width, height))
    assert pixels(alone) == (across * down * frames, Provenance.DECLARED)
    parts = multipart(("as-it-was", "video/mp2t", body), ("P240p30fps16x9", "application/vnd+livepeer.uri", b"u"))
    used = probe.run(pushed(probe.tools, body, parts))
    assert abs(times(used)[0] - 2 * frames * frame) <= 2 * (frame + 1)
    linked = across * down * -(-times(used)[0] // 2 * 30 // 1000)
    assert pixels(used) == (width * height * frames + linked, Provenance.UPSTREAM)


def test_variable_frame_rate_lasts_as_long_as_its_stamps(probe: RunningProbe, tmp_path: Path) -> None:
    """Every frame of the first second, every tenth of the others."""
    path = tmp_path / "variable.mp4"
    chosen = "select='lt(t,1)+not(mod(n,10))'"
    body = picture(path, "-vf", chosen, "-fps_mode", "vfr", *X264.split(), rate="30", seconds=4)
    times = stamps(path)
    found = probe.measure(body, MediaKind.SEGMENT)
    assert found.video[0].frames == len(times)
    span = (times[-1] - times[0]) * 1000
    assert span <= found.milliseconds <= span + 1000 * 10 / 30


def test_audio_longer_than_video(probe: RunningProbe, tmp_path: Path) -> None:
    """What is transcoded is the video."""
    inputs = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=25:duration=1", "-f", "lavfi", "-i", "sine=duration=4")
    body = ffmpeg(tmp_path / "longer.ts", *inputs, *X264.split(), "-c:a", "aac")
    found = probe.measure(body, MediaKind.SEGMENT)
    assert (found.milliseconds, found.audio_tracks) == (1000, 1)


def test_segment_of_sound_alone_has_a_length(probe: RunningProbe, tmp_path: Path) -> None:
    body = ffmpeg(tmp_path / "sound.ts", "-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac")
    found = probe.measure(body, MediaKind.SEGMENT)
    assert found.video == ()
    assert abs(found.milliseconds - 3000) <= 2 * 23.3


def test_frames_at_an_unbelievable_rate_count_as_usual_ones(probe: RunningProbe, tmp_path: Path) -> None:
    """Stamps and bitstream both say that forty frames last a millisecond."""
    squeezed = ("-vf", "settb=1/90000,setpts=N", "-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    body = picture(tmp_path / "squeezed.ts", *squeezed, *X264.split(), "-r", "90000", seconds=4)
    found = probe.measure(body, MediaKind.SEGMENT)
    assert found.video[0].frames >= 40
    assert found.milliseconds >= found.video[0].frames * 1000 // 30


def test_jump_of_the_stamps_is_no_long_frame(probe: RunningProbe, tmp_path: Path) -> None:
    first = picture(tmp_path / "first.ts", *X264.split(), rate="25")
    later = picture(tmp_path / "later.ts", *X264.split(), "-output_ts_offset", "3600", rate="25")
    found = probe.measure(first + later, MediaKind.SEGMENT)
    assert found.video[0].frames == 100
    assert abs(found.milliseconds - 4000) <= 80


@pytest.mark.parametrize("rate", ["1000", "90000"])
def test_forged_clock_of_mp4_does_not_shorten(rate: str, probe: RunningProbe, tmp_path: Path) -> None:
    """A media time scale a thousand times too fast, over a bitstream that says no rate."""
    plain = tmp_path / "plain.mp4"
    picture(plain, "-c:v", "mpeg4", rate="25")
    body = ffmpeg(tmp_path / "fast.mp4", "-itsscale", f"{25 / int(rate):.9f}", "-i", str(plain), "-c", "copy")
    found = probe.measure(body, MediaKind.SEGMENT)
    assert found.video[0].frames == 50
    assert found.milliseconds >= 50 * 1000 // 30
