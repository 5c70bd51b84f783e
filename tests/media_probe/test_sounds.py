"""Sounds of every container and codec that a gateway may be sent are measured right within one frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from middlewares.usage_tracker.media_probe import MediaKind
from tests.media_probe.ffmpeg import counted, ffmpeg, needs_ffmpeg, run, sound
from tests.media_probe.running import RunningProbe

pytestmark = needs_ffmpeg


@dataclass(frozen=True)
class Sound:
    """A file of three seconds, how to make it, and the samples in one of its frames (0: any number)."""

    name: str
    options: str
    frame: int
    rate: int = 44_100


MP3, MP3_LOW, AAC, OPUS = 1152, 576, 1024, 960
SOUNDS = (
    Sound("cbr.mp3", "-c:a libmp3lame -b:a 64k", MP3),
    Sound("vbr.mp3", "-c:a libmp3lame -q:a 4 -ac 2", MP3),
    Sound("abr.mp3", "-c:a libmp3lame -abr 1 -b:a 96k", MP3),
    Sound("no-xing.mp3", "-c:a libmp3lame -q:a 4 -write_xing 0", MP3),
    Sound("tags.mp3", "-c:a libmp3lame -id3v2_version 3 -write_id3v1 1 -metadata title=TAG", MP3),
    Sound("48k.mp3", "-c:a libmp3lame", MP3, 48_000),
    Sound("mpeg2.mp3", "-c:a libmp3lame", MP3_LOW, 22_050),
    Sound("mpeg25.mp3", "-c:a libmp3lame -b:a 16k", MP3_LOW, 8_000),
    Sound("mp3.mp4", "-c:a libmp3lame", MP3),
    Sound("mp3.mov", "-c:a libmp3lame", MP3),
    Sound("mp3.mka", "-c:a libmp3lame", MP3),
    Sound("mp3.avi", "-c:a libmp3lame", MP3),
    Sound("mp3.ts", "-c:a libmp3lame", MP3),
    Sound("mp3.flv", "-c:a libmp3lame", MP3),
    Sound("mp3.wav", "-c:a libmp3lame", MP3),
    Sound("layer2.mp2", "-c:a mp2", MP3),
    Sound("layer2.mpg", "-c:a mp2 -f mpeg", MP3),
    Sound("adts.aac", "-c:a aac", AAC),
    Sound("latm.aac", "-c:a aac -f latm", AAC),
    Sound("plain.m4a", "-c:a aac", AAC),
    Sound("8k.m4a", "-c:a aac -b:a 16k", AAC, 8_000),
    Sound("96k.m4a", "-c:a aac", AAC, 96_000),
    Sound("stereo.m4a", "-c:a aac -ac 2", AAC, 48_000),
    Sound("faststart.m4a", "-c:a aac -movflags +faststart", AAC),
    Sound("fragmented.mp4", "-c:a aac -movflags +frag_keyframe+empty_moov -frag_duration 500000", AAC),
    Sound("aac.mov", "-c:a aac", AAC),
    Sound("aac.3gp", "-c:a aac", AAC),
    Sound("aac.mkv", "-c:a aac", AAC),
    Sound("aac.ts", "-c:a aac", AAC),
    Sound("aac.flv", "-c:a aac", AAC),
    Sound("alac.m4a", "-c:a alac", 4096),
    Sound("alac.caf", "-c:a alac", 4096),
    Sound("plain.flac", "-c:a flac", 0),
    Sound("flac.ogg", "-c:a flac", 0),
    Sound("flac.mka", "-c:a flac", 0),
    Sound("flac.mp4", "-c:a flac -strict experimental", 0),
    Sound("s16.wav", "-c:a pcm_s16le", 0),
    Sound("u8.wav", "-c:a pcm_u8", 0, 8_000),
    Sound("s24.wav", "-c:a pcm_s24le -ac 2", 0),
    Sound("s32.wav", "-c:a pcm_s32le", 0),
    Sound("f32.wav", "-c:a pcm_f32le", 0, 16_000),
    Sound("f64.wav", "-c:a pcm_f64le", 0, 16_000),
    Sound("six-channels.wav", "-c:a pcm_s16le -ac 6", 0, 48_000),
    Sound("mulaw.wav", "-c:a pcm_mulaw", 0, 8_000),
    Sound("alaw.wav", "-c:a pcm_alaw", 0, 8_000),
    Sound("adpcm-ms.wav", "-c:a adpcm_ms", 2036, 22_050),
    Sound("adpcm-ima.wav", "-c:a adpcm_ima_wav", 2041, 22_050),
    Sound("rf64.wav", "-c:a pcm_s16le -rf64 always", 0),
    Sound("sony.w64", "-c:a pcm_s16le", 0),
    Sound("pcm.aiff", "-c:a pcm_s16be", 0),
    Sound("pcm.au", "-c:a pcm_s16be", 0),
    Sound("pcm.caf", "-c:a pcm_s16le", 0),
    Sound("pcm.mov", "-c:a pcm_s16le", 0),
    Sound("pcm.mkv", "-c:a pcm_s16le", 0),
    Sound("vorbis.ogg", "-c:a libvorbis", 0),
    Sound("vorbis.webm", "-c:a libvorbis", 0),
    Sound("opus.ogg", "-c:a libopus", OPUS, 48_000),
    Sound("opus-60ms.opus", "-c:a libopus -frame_duration 60", 2880, 48_000),
    Sound("opus-5ms.ogg", "-c:a libopus -frame_duration 5", 240, 48_000),
    Sound("opus.webm", "-c:a libopus", OPUS, 48_000),
    Sound("opus.mp4", "-c:a libopus", OPUS, 48_000),
    Sound("opus.ts", "-c:a libopus", OPUS, 48_000),
    Sound("plain.ac3", "-c:a ac3", 1536, 48_000),
    Sound("plain.eac3", "-c:a eac3", 1536, 48_000),
    Sound("ac3.mka", "-c:a ac3", 1536, 48_000),
    Sound("speex.ogg", "-c:a libspeex", 320, 16_000),
    Sound("windows.wma", "-c:a wmav2", 2048),
    Sound("plain.tta", "-c:a tta", 0),
    Sound("plain.wv", "-c:a wavpack", 0),
)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("made", SOUNDS, ids=lambda made: made.name)
def test_sound(made: Sound, probe: RunningProbe, tmp_path: Path) -> None:
    """No shorter than what was recorded, and what ffprobe counts within one frame."""
    path = tmp_path / made.name
    found = probe.length(sound(path, *made.options.split(), rate=made.rate))
    frame = max(made.frame * 1000 / made.rate, 25)  # Vorbis and FLAC: their usual frame
    truth = 3000.0
    if made.frame:
        said = counted(path, "a:0")  # frames without those that the container says to skip
        frames = max(int(said["nb_read_frames"]), int(said["nb_read_packets"]))
        truth = frames * made.frame * 1000 / made.rate
    assert abs(found - truth) <= frame + 1
    assert found >= 3000 - (0 if made.frame else frame)
    assert found <= 3000 + 4 * frame


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["cbr.mp3", "plain.m4a", "plain.flac", "s16.wav", "opus.ogg", "opus.webm", "aac.ts"])
def test_container_duration_is_that_of_a_pipe(name: str, probe: RunningProbe, tmp_path: Path) -> None:
    """As go-livepeer has it, which pipes the body into FFmpeg; WAV and Ogg say none then."""
    made = next(made for made in SOUNDS if made.name == name)
    body = sound(tmp_path / name, *made.options.split(), rate=made.rate)
    said = run("ffprobe", "-v", "quiet", "-show_entries", "format=duration", "-of", "csv=p=0", "-", stdin=body).strip()
    found = probe.measure(body).container_milliseconds
    if said == b"N/A":
        assert found is None
    else:
        assert found is not None
        assert abs(found - float(said) * 1000) <= 30


@pytest.mark.ci
def test_joined_files(probe: RunningProbe, tmp_path: Path) -> None:
    """Two recordings of different rates in one file; a header of the first speaks of it alone."""
    first = sound(tmp_path / "first.mp3", "-c:a", "libmp3lame", rate=44_100)
    second = sound(tmp_path / "second.mp3", "-c:a", "libmp3lame", rate=44_100, seconds=5)
    assert abs(probe.length(first + second) - 8000) <= 6 * 26.2
    chained = sound(tmp_path / "first.ogg", "-c:a", "libvorbis") + sound(tmp_path / "second.ogg", "-c:a", "libvorbis")
    assert abs(probe.length(chained) - 6000) <= 50


@pytest.mark.parametrize("junk", [bytes(2000), b"\xff\xfe" * 3000, b"RIFFRAFF" * 100], ids=["zeros", "sync", "text"])
def test_junk_around_the_frames(junk: bytes, probe: RunningProbe, tmp_path: Path) -> None:
    body = sound(tmp_path / "plain.mp3", "-c:a", "libmp3lame", "-write_xing", "0")
    alone = probe.length(body)
    assert abs(probe.length(junk + body + junk) - alone) <= 2 * 26.2


def test_longest_of_several_tracks(probe: RunningProbe, tmp_path: Path) -> None:
    inputs = [part for seconds in (1, 4, 2) for part in ("-f", "lavfi", "-i", f"sine=duration={seconds}")]
    body = ffmpeg(tmp_path / "tracks.mka", *inputs, "-map", "0", "-map", "1", "-map", "2", "-c:a", "aac")
    found = probe.measure(body)
    assert found.audio_tracks == 3
    assert 4000 <= found.milliseconds <= 4000 + 2 * 23.3


def test_a_cover_picture_is_no_video(probe: RunningProbe, tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    ffmpeg(cover, "-f", "lavfi", "-i", "color=size=64x64:duration=0.04", "-frames:v", "1")
    inputs = ("-f", "lavfi", "-i", "sine=duration=3", "-i", str(cover), "-map", "0", "-map", "1")
    body = ffmpeg(tmp_path / "cover.mp3", *inputs, "-c:a", "libmp3lame", "-c:v", "copy")
    assert 3000 <= probe.length(body) <= 3000 + 4 * 26.2


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
def test_sound_among_streams_of_other_kinds(name: str, probe: RunningProbe, tmp_path: Path) -> None:
    """Pictures, subtitles, data and attachments are not in the way."""
    words, font = tmp_path / "words.srt", tmp_path / "font.ttf"
    words.write_text("1\n00:00:00,000 --> 00:00:02,000\nwords\n")
    font.write_bytes(bytes(100))
    inputs = ("-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", "-f", "lavfi", "-i", "sine=duration=3")
    other = {
        "film.mkv": ("-c:s", "srt", "-attach", str(font), "-metadata:s:t", "mimetype=font/ttf"),
        "film.mp4": ("-c:s", "mov_text", "-timecode", "00:00:00:00"),
    }[name]
    every = ("-i", str(words), "-map", "0", "-map", "1", "-map", "2", "-c:a", "aac")
    body = ffmpeg(tmp_path / name, *inputs, *every, *other)
    assert 3000 <= probe.length(body) <= 3000 + 3 * 23.3
    assert probe.measure(body, MediaKind.SEGMENT).milliseconds == 1000
