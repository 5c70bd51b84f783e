"""A very short H.264 video in an MPEG transport stream, of any size: what renditions with a size of their own hold."""

from proxy.mock_gateway.media import TS_PACKET

_MAP_PID = 0x1000
_VIDEO_PID = 0x0100
_H264 = 0x1B
_MACROBLOCK = 16
"""Pixels on a side; a picture that fills no whole number of them is cropped."""


def scaled(profile: tuple[int, int], source: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a rendition: the profile's longer side, the other by the source's aspect ratio and even.

    This is FFmpeg's `scale=w=if(gte(iw,ih),W,-2):h=if(lt(iw,ih),H,-2)` (CONTRACT.md section 1.5).
    """
    width, height = source
    if width >= height:
        return profile[0], _even(profile[0] * height, width)
    return _even(profile[1] * width, height), profile[1]


def _even(dividend: int, divisor: int) -> int:
    return max(2, 2 * ((dividend + divisor) // (2 * divisor)))


def one_picture(width: int, height: int) -> bytes:
    """Return three packets: programme association, programme map, and one H.264 picture of that size in pixels."""
    association = _section(0x00, b"\x00\x01" + (0xE000 | _MAP_PID).to_bytes(2))
    stream = bytes([_H264]) + (0xE000 | _VIDEO_PID).to_bytes(2) + b"\xf0\x00"
    programme = _section(0x02, (0xE000 | _VIDEO_PID).to_bytes(2) + b"\xf0\x00" + stream)
    stamp = b"\x21\x00\x01\x00\x01"
    units = [b"\x09\x10", b"\x67" + _sequence(width, height), b"\x68" + _picture(), b"\x65" + _slice()]
    picture = b"".join(b"\0\0\0\1" + unit for unit in units)
    packet = b"\0\0\1\xe0\0\0\x80\x80\x05" + stamp + picture
    return _packet(0, association) + _packet(_MAP_PID, programme) + _stuffed_packet(_VIDEO_PID, packet)


def _section(table: int, payload: bytes) -> bytes:
    """Return a programme section behind its pointer, with its checksum (ISO/IEC 13818-1 section 2.4.4)."""
    body = b"\x00\x01\xc1\x00\x00" + payload
    section = bytes([table]) + (0xB000 | len(body) + 4).to_bytes(2) + body
    return b"\0" + section + _checksum(section).to_bytes(4)


def _checksum(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def _packet(pid: int, payload: bytes) -> bytes:
    return b"G" + (0x4000 | pid).to_bytes(2) + b"\x10" + payload.ljust(TS_PACKET - 4, b"\xff")


def _stuffed_packet(pid: int, payload: bytes) -> bytes:
    """Return a packet whose adaptation field fills what the payload leaves."""
    length = TS_PACKET - 5 - len(payload)
    return b"G" + (0x4000 | pid).to_bytes(2) + b"\x30" + bytes([length]) + b"\0".ljust(length, b"\xff") + payload


class _Bits:
    """Writes bits and Exp-Golomb codes (ITU-T H.264 section 9.1)."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, value: int, count: int) -> "_Bits":
        self._bits += f"{value:0{count}b}"
        return self

    def codes(self, *values: int) -> "_Bits":
        for value in values:
            self.put(value + 1, 2 * (value + 1).bit_length() - 1)
        return self

    def raw(self) -> bytes:
        """Return the bits with a stop bit, free of start codes."""
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        data = int(bits, 2).to_bytes(len(bits) // 8)
        escaped = bytearray()
        for byte in data:
            if byte <= 3 and escaped[-2:] == b"\0\0":
                escaped.append(3)
            escaped.append(byte)
        return bytes(escaped)


def _sequence(width: int, height: int) -> bytes:
    """Return a sequence parameter set: constrained baseline, level 5.1 (ITU-T H.264 section 7.3.2.1.1)."""
    columns, rows = -(-width // _MACROBLOCK), -(-height // _MACROBLOCK)
    bits = _Bits().put(66, 8).put(0xC0, 8).put(51, 8).codes(0, 0, 2, 1).put(0, 1).codes(columns - 1, rows - 1)
    bits.put(0b111, 3)  # whole frames, direct inference, cropped
    bits.codes(0, (columns * _MACROBLOCK - width) // 2, 0, (rows * _MACROBLOCK - height) // 2)
    return bits.put(0, 1).raw()


def _picture() -> bytes:
    """Return a picture parameter set that changes nothing (ITU-T H.264 section 7.3.2.2)."""
    return _Bits().codes(0, 0).put(0, 2).codes(0, 0, 0).put(0, 3).codes(0, 0, 0).put(0, 3).raw()


def _slice() -> bytes:
    """Return the header of a key picture and none of its macroblocks (ITU-T H.264 section 7.3.3)."""
    return _Bits().codes(0, 7, 0).put(0, 4).codes(0).put(0, 2).codes(0, 0).raw()
