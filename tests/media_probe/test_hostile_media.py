"""Media that is made to be billed for less than it holds, or to have the probe open something else."""

from __future__ import annotations

import io
import os
import socket
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from middlewares.usage_tracker.media_probe import MediaKind, Verdict
from proxy.media_probe.budget import Budget
from proxy.media_probe.process import measure
from tests.media_probe.boxes import data_reference, edit_list, replaced
from tests.media_probe.ffmpeg import needs_ffmpeg, picture, run, sound
from tests.media_probe.running import RunningProbe

pytestmark = needs_ffmpeg

EDITS = ("moov", "trak", "edts", "elst")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that nobody may call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


def bodies(media: Path, port: int) -> dict[str, bytes]:
    """Return bodies that refer to the file `media` and to a port of this machine."""
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    web = f"http://127.0.0.1:{port}/x.ts"
    return {
        "playlist-of-a-file": playlist.format(media).encode(),
        "playlist-of-a-file-url": playlist.format(f"file://{media}").encode(),
        "playlist-of-a-url": playlist.format(web).encode(),
        "playlist-of-a-subfile": playlist.format(f"subfile,,start,0,end,0,,:{media}").encode(),
        "playlist-of-a-concat": playlist.format(f"concat:{media}|{media}").encode(),
        "playlist-with-a-key": playlist.format(f'#EXT-X-KEY:METHOD=AES-128,URI="{web}"\n{media}').encode(),
        "list-of-files": f"ffconcat version 1.0\nfile '{media}'\nfile '{web}'\n".encode(),
        "session-description": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/AVP 0\na=rtpmap:0 PCMU/8000\n".encode(),
        "dash-manifest": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        f"<AdaptationSet><Representation><BaseURL>{web}</BaseURL></Representation></AdaptationSet></Period></MPD>".encode(),
        "smil-of-flash": f'<smil><body><video src="rtmp://127.0.0.1:{port}/x"/></body></smil>'.encode(),
        "real-media-pointer": f"rtsp://127.0.0.1:{port}/x.rm\n".encode(),
    }


NAMES = tuple(bodies(Path(), 0))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NAMES)
def test_body_that_names_others_opens_nothing(
    name: str, probe: RunningProbe, listener: socket.socket, tmp_path: Path
) -> None:
    """Neither in the confined process nor by FFmpeg's own rules alone."""
    media = tmp_path / "secret.ts"
    sound(media, "-c:a", "aac")
    before = os.stat(media).st_atime_ns
    body = bodies(media, listener.getsockname()[1])[name]
    for kind in MediaKind:
        assert probe.measure(body, kind).verdict is Verdict.UNREADABLE
        assert measure(kind, io.BytesIO(body), Budget(5, lambda so_far: None))["verdict"] == "unreadable"
    assert os.stat(media).st_atime_ns == before


def test_tracks_of_another_file_are_not_read(probe: RunningProbe, tmp_path: Path) -> None:
    """An alias in an MP4 file says that the samples are somewhere else."""
    media = tmp_path / "secret.m4a"
    body = sound(media, "-c:a", "aac")
    forged = replaced(body, ("moov", "trak", "mdia", "minf", "dinf", "dref"), data_reference(str(media)))
    before = os.stat(media).st_atime_ns
    probe.measure(forged)
    measure("audio", io.BytesIO(forged), Budget(5, lambda so_far: None))
    assert os.stat(media).st_atime_ns == before


def test_sound_hidden_by_an_edit_list_counts(probe: RunningProbe, tmp_path: Path) -> None:
    body = sound(tmp_path / "plain.m4a", "-c:a", "aac")
    assert probe.length(replaced(body, EDITS, edit_list((40, 1024)))) >= 3000


def test_sound_that_an_edit_list_repeats_counts_each_time(probe: RunningProbe, tmp_path: Path) -> None:
    """FFmpeg plays it as often, and so does the model that hears it."""
    path = tmp_path / "plain.m4a"
    body = replaced(sound(path, "-c:a", "aac"), EDITS, edit_list(*[(1000, 1024)] * 30))
    path.write_bytes(body)
    decoded = len(run("ffmpeg", "-v", "quiet", "-i", str(path), "-f", "s16le", "-")) / 2 / 44_100
    assert decoded > 25
    assert probe.length(body) >= decoded * 1000


def test_pictures_that_an_edit_list_hides_or_repeats_count(probe: RunningProbe, tmp_path: Path) -> None:
    body = picture(tmp_path / "plain.mp4", "-c:v", "libx264", "-bf", "0", rate="25")
    hidden = probe.measure(replaced(body, EDITS, edit_list((40, 0))), MediaKind.SEGMENT)
    assert hidden.video[0].frames == 50
    assert hidden.milliseconds == 2000
    repeated = probe.measure(replaced(body, EDITS, edit_list(*[(2000, 0)] * 10)), MediaKind.SEGMENT)
    assert repeated.video[0].frames >= 490
    assert repeated.milliseconds >= 19_000


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_several_frames_in_one_packet_count_each(container: str, probe: RunningProbe, tmp_path: Path) -> None:
    """A decoder takes them one after the other, whatever the table of samples says."""
    sound(tmp_path / "plain.m4a", "-c:a", "aac")
    body = merged(tmp_path / "plain.m4a", tmp_path / "merged", container, 10)
    assert probe.length(body) >= 3000 - 23.3
    picture(tmp_path / "plain.mp4", "-c:v", "libx264", "-bf", "0", rate="25")
    body = merged(tmp_path / "plain.mp4", tmp_path / "merged", container, 2)
    assert probe.measure(body, MediaKind.SEGMENT).video[0].frames == 50


def merged(source: Path, target: Path, container: str, count: int) -> bytes:
    """Return the first stream of `source` with `count` packets in each one."""
    with av.open(str(source)) as reader, av.open(str(target), "w", format=container) as writer:
        stream = reader.streams[0]
        assert isinstance(stream, av.AudioStream | av.VideoStream)
        copy = writer.add_stream_from_template(stream)
        packets = [packet for packet in reader.demux(stream) if packet.size]
        for start in range(0, len(packets), count):
            first = packets[start]
            packet = av.Packet(b"".join(bytes(part) for part in packets[start : start + count]))
            packet.pts, packet.dts, packet.time_base = first.pts, first.dts, first.time_base
            packet.duration, packet.is_keyframe, packet.stream = first.duration, first.is_keyframe, copy
            writer.mux(packet)
    return target.read_bytes()


@pytest.mark.ci
def test_size_is_that_of_the_pictures_not_of_the_container(probe: RunningProbe, tmp_path: Path) -> None:
    body = picture(tmp_path / "plain.mp4", "-c:v", "libx264", size="640x480")
    entry = body.index(b"avc1", body.index(b"stsd")) + 28
    assert body[entry : entry + 4] == bytes((2, 128, 1, 224))
    forged = body[:entry] + bytes((0, 16, 0, 16)) + body[entry + 4 :]
    (track,) = probe.measure(forged, MediaKind.SEGMENT).video
    assert (track.width, track.height) == (640, 480)


def test_gigantic_picture_keeps_within_the_memory(probe: RunningProbe, tmp_path: Path) -> None:
    """An AVI file says 30000x30000; the next body is measured all the same."""
    body = picture(tmp_path / "plain.avi", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", size="64x64", seconds=1)
    at = body.index(b"strf") + 12
    forged = body[:at] + (30_000).to_bytes(4, "little") * 2 + body[at + 8 :]
    probe.measure(forged, MediaKind.SEGMENT)
    assert probe.measure(body, MediaKind.SEGMENT).video[0].frames == 30


@pytest.mark.parametrize("body", [b"", b"\0", bytes(100_000), b"\xff" * 100_000, b"ID3\x04\0\0\x7f\x7f\x7f\x7f"])
def test_no_media(body: bytes, probe: RunningProbe) -> None:
    for kind in MediaKind:
        found = probe.measure(body, kind)
        assert (found.verdict, found.milliseconds, found.video) == (Verdict.UNREADABLE, 0, ())


def test_what_a_container_claims_is_reported_before_the_first_packet_is_decoded() -> None:
    """Hazard: a process that is ended by force in its first packet leaves nothing to hold against the file."""
    reports: list[dict[str, object]] = []
    with io.BytesIO() as body:
        with wave.open(body, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(8_000)
            wav.writeframes(bytes(32_000))
        found = measure("audio", body, Budget(0, reports.append))
    assert (found["verdict"], found["claimed_milliseconds"]) == ("gave_up", 2_000)
    assert reports[-1]["claimed_milliseconds"] == 2_000
