"""Colours of a screenshot. FFmpeg, which the product needs anyway, decodes the picture."""

from __future__ import annotations

import io
from collections.abc import Mapping

import av

Colour = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""
Picture = Mapping[tuple[int, int], Colour]
"""Colours by column and row."""


def picture(png: bytes) -> Picture:
    """Return the pixels of a picture."""
    with av.open(io.BytesIO(png), mode="r") as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24")
    plane = frame.planes[0]
    content, line = bytes(plane), plane.line_size
    return {
        (x, y): (content[at], content[at + 1], content[at + 2])
        for y in range(frame.height)
        for x in range(frame.width)
        for at in (y * line + 3 * x,)
    }


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast of two colours, from 1 to 21, as WCAG 2 defines it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (each / 255 for each in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
