"""The size of the pictures of an H.264 stream, from its sequence parameter set (ITU-T H.264 section 7.3.2.1.1)."""

from __future__ import annotations

import re

_PARAMETER_SET = re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67](.+?)(?:\x00\x00[\x00\x01]|$)", re.DOTALL)
_WITH_CHROMA_FORMAT = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
"""Profiles whose parameter sets describe the format of samples."""
_LONGEST_CODE = 32


class _Bits:
    """Reads a parameter set bit by bit. Raises `ValueError` past its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int = 1) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("the parameter set is cut")
        return self._value >> self._left & (1 << count) - 1

    def code(self) -> int:
        """Return the next Exp-Golomb code (section 9.1)."""
        zeros = 0
        while not self.take():
            zeros += 1
            if zeros == _LONGEST_CODE:
                raise ValueError("no such code")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.code()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def picture_size(stream: bytes) -> tuple[int, int]:
    """Return width and height in pixels by the first parameter set in a byte stream; zeros if none is complete."""
    found = _PARAMETER_SET.search(stream)
    if found is None:
        return 0, 0
    try:
        return _size(_Bits(found[1].replace(b"\0\0\3", b"\0\0")))
    except ValueError:
        return 0, 0


def _size(bits: _Bits) -> tuple[int, int]:
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.code()  # its id
    chroma = 1
    if profile in _WITH_CHROMA_FORMAT:
        chroma = bits.code()
        if chroma == 3:
            bits.take()
        bits.code(), bits.code(), bits.take()  # bit depths, transform bypass
        if bits.take():
            _pass_scaling_lists(bits, 12 if chroma == 3 else 8)
    bits.code()  # frame numbers
    _pass_picture_order(bits)
    bits.code(), bits.take()  # reference frames, gaps
    columns, rows = bits.code() + 1, bits.code() + 1
    fields = 2 - bits.take()
    if fields == 2:
        bits.take()
    bits.take()
    crops = [bits.code() for _ in range(4)] if bits.take() else [0, 0, 0, 0]
    across = 2 if chroma in (1, 2) else 1
    down = (2 if chroma == 1 else 1) * fields
    width = 16 * columns - across * (crops[0] + crops[1])
    height = 16 * rows * fields - down * (crops[2] + crops[3])
    if not (0 < width < 65_536 and 0 < height < 65_536):
        raise ValueError("no picture has this size")
    return width, height


def _pass_scaling_lists(bits: _Bits, lists: int) -> None:
    for number in range(lists):
        if not bits.take():
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _pass_picture_order(bits: _Bits) -> None:
    kind = bits.code()
    if kind == 0:
        bits.code()
    elif kind == 1:
        bits.take(), bits.signed(), bits.signed()
        for _ in range(min(bits.code(), 255)):
            bits.signed()
