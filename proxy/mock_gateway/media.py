"""Small real media, made on demand, and the byte pattern by which tests recognise a stream."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 65_536
TS_PACKET = 188
SAMPLE_RATE = 16_000

_NOISE = hashlib.shake_256(b"tollgate mock gateway").digest(BLOCK)


def pattern(size: int, step: int = BLOCK) -> Iterator[bytes]:
    """Yield `size` bytes in pieces of `step`; any piece lost, doubled, moved or altered changes the whole.

    Each 64 KiB block is its number (8 bytes, big-endian) and then the same noise.
    """
    for start in range(0, size, step):
        yield pattern_slice(start, min(start + step, size))


def pattern_slice(start: int, stop: int) -> bytes:
    """Return bytes `start` to `stop` (exclusive) of the endless pattern."""
    first = start // BLOCK
    blocks = (number.to_bytes(8, "big") + _NOISE[8:] for number in range(first, -(-stop // BLOCK)))
    return b"".join(blocks)[start - first * BLOCK : stop - first * BLOCK]


def png(width: int, height: int, seed: int = 0) -> bytes:
    """Return a one-bit grey PNG of `width` x `height` pixels in stripes that depend on `seed`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes([0x0F ^ seed & 0xFF]) * -(-width // 8)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(row * height, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def wav(milliseconds: int) -> bytes:
    """Return silence: RIFF/WAVE, 16-bit mono PCM at 16 kHz."""
    samples = bytes(2 * (SAMPLE_RATE * milliseconds // 1000))
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def mp4(milliseconds: int) -> bytes:
    """Return an MP4 file of that duration without tracks: `ftyp`, `moov` holding `mvhd`, an empty `mdat`."""

    def box(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(payload), kind) + payload

    matrix = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    clock = struct.pack(">IIIII", 0, 0, 0, 1000, milliseconds)
    mvhd = clock + struct.pack(">IH10x", 0x10000, 0x100) + matrix + bytes(24) + struct.pack(">I", 1)
    return box(b"ftyp", b"isom" + bytes(4) + b"isomiso2") + box(b"moov", box(b"mvhd", mvhd)) + box(b"mdat", b"")


def ts(size: int) -> bytes:
    """Return MPEG transport stream null packets, `size` bytes rounded up to whole packets."""
    return (b"\x47\x1f\xff\x10" + b"\xff" * (TS_PACKET - 4)) * -(-size // TS_PACKET)


def is_audio(data: bytes) -> bool:
    """True if a file starts as a known audio container does (the gateway runs FFmpeg on it)."""
    return (
        data.startswith((b"RIFF", b"fLaC", b"ID3", b"OggS", b"\x1a\x45\xdf\xa3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1"))
        or data[4:8] == b"ftyp"
    )


def is_stock_audio(data: bytes) -> bool:
    """True if the FFmpeg of the official build finds the duration: no WAV, no Ogg (CONTRACT.md section 1.1)."""
    return is_audio(data) and not data.startswith((b"RIFF", b"OggS"))


def is_image(data: bytes) -> bool:
    """True if a file starts as PNG, JPEG, GIF, BMP or WebP does."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")) or data[8:12] == b"WEBP"


def is_segment(head: bytes) -> bool:
    """True if a segment starts as MPEG-TS or MP4 does; `head` is its first two packets or all of it."""
    sync = head[:1] == b"\x47" and head[TS_PACKET : TS_PACKET + 1] in (b"\x47", b"")
    return sync or head[4:8] in (b"ftyp", b"styp", b"moof")


@dataclass(frozen=True, slots=True)
class Result:
    """A generated file, kept as its measures and rendered when it is fetched."""

    extension: str
    """`png`, `wav`, `mp4` or `ts`."""
    width: int = 0
    height: int = 0
    seed: int = 0
    milliseconds: int = 0
    size: int = 0

    @property
    def content_type(self) -> str:
        """The media type the gateway serves it with."""
        return {"png": "image/png", "wav": "audio/wav", "mp4": "video/mp4", "ts": "video/mp2t"}[self.extension]

    def render(self) -> bytes:
        """Return the file's bytes, the same each time."""
        match self.extension:
            case "png":
                return png(self.width, self.height, self.seed)
            case "wav":
                return wav(self.milliseconds)
            case "mp4":
                return mp4(self.milliseconds)
            case _:
                return ts(self.size)
