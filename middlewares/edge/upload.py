"""What an upload can use at most, as far as it was read: by its own head, else by the plan's maxima. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from config.limits import Maxima
from config.plans import Plan
from config.transcoding import Transcoding
from config.workloads import Unit
from middlewares.edge.members import invalid_parameter
from middlewares.exchange import Declaration, Exchange
from middlewares.forms.grammar import PartHead, go_integer
from middlewares.gateway_facts import ASSUMED_SEGMENT_MS, DEFAULT_PRESETS, LONGEST_SEGMENT_MS, VIDEO_FRAMES, VIDEO_SIZE
from middlewares.routing.traits import Measure

NUMBER_BYTES = 64
"""Most bytes of a number in a form. Go reads longer ones, of zeros that lead; they are refused."""
UNKNOWN_RATE = 60
"""Assumed frames per second of renditions that have the source's rate."""

_IMAGE = b"image"
_COUNT = b"num_images_per_prompt"
_SIZE = (b"width", b"height")
_NUMBERS = {Measure.IMAGES_FROM_IMAGE: (_COUNT,), Measure.VIDEO: _SIZE}
_WITH_IMAGE = (Measure.IMAGES_FROM_IMAGE, Measure.MASKS, Measure.CAPTION)


class PictureReader(Protocol):
    """Reads the size of one image as it passes."""

    @property
    def found(self) -> tuple[int, int] | None:
        """Width and height; None as long as they are not known."""
        ...

    @property
    def unbelievable(self) -> bool:
        """True if the image is of a format that is read, and its head cannot be: its size could be any."""
        ...

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the image."""
        ...


class UploadReader:
    """Keeps what a form says about its use: some numbers, and the size of its image. The first of a name counts."""

    __slots__ = ("_image_began", "_maxima", "_meter", "_name", "_numbers", "_picture", "_reads_image")

    def __init__(self, meter: Measure, picture: PictureReader | None) -> None:
        """Without `picture`, an image has the largest size that the plan takes."""
        self._meter = meter
        self._picture = picture if meter in _WITH_IMAGE else None
        self._numbers: dict[bytes, bytearray | None] = dict.fromkeys(_NUMBERS.get(meter, ()))
        self._maxima: Maxima | None = None
        self._name = b""
        """The number whose part is being read; empty: none."""
        self._reads_image = False
        self._image_began = False

    def begin_part(self, head: PartHead) -> bool:
        """Take the head of a part. Return True if its content is wanted."""
        self._name, self._reads_image = b"", False
        if head.is_file:
            self._reads_image = head.name == _IMAGE and not self._image_began and self._picture is not None
            self._image_began |= self._reads_image
        elif head.name in self._numbers and self._numbers[head.name] is None:
            self._name, self._numbers[head.name] = head.name, bytearray()
        return self._reads_image or bool(self._name)

    def part_data(self, data: bytes) -> None:
        """Take content of a wanted part.

        Raises `Refusal` (400) for an image larger than the plan takes or of an unknown size, and for too long a number.
        """
        if self._reads_image and self._picture is not None:
            self._picture.feed(data)
            if self._picture.found is not None or self._picture.unbelievable:
                self._reads_image = False
                self._check()
        elif (value := self._numbers.get(self._name)) is not None:
            value += data
            if len(value) > NUMBER_BYTES:
                raise invalid_parameter(self._name.decode(), f"is longer than {NUMBER_BYTES} bytes")

    def end_part(self) -> None:
        """Take note that a part is complete. Raises `Refusal` (400) for a number larger than the plan takes."""
        if self._name:
            self._name = b""
            self._check()

    def limit(self, maxima: Maxima) -> None:
        """Refuse what exceeds `maxima` from now on. Raises `Refusal` (400) for what was read already."""
        self._maxima = maxima
        self._check()

    def _check(self) -> None:
        if self._maxima is None:
            return
        side = self._maxima.image_side
        for name in self._numbers:
            most = self._maxima.images if name == _COUNT else side
            number = self._number(name)
            if number is not None and number > most:
                raise invalid_parameter(name.decode(), f"must be a whole number from 1 to {most}")
        if self._picture is None:
            return
        if self._picture.unbelievable:
            raise invalid_parameter("image", "has a head from which its size cannot be read")
        size = self._picture.found
        if size is not None and max(size) > side:
            raise invalid_parameter("image", f"is {size[0]} x {size[1]} pixels; its sides may have at most {side}")

    def _number(self, name: bytes) -> int | None:
        """Return a number of the form as Go reads it; None where it is missing, unusable or still being read."""
        value = self._numbers.get(name)
        number = None if value is None or name == self._name else go_integer(bytes(value))
        return number if number is not None and number > 0 else None

    def upper_bound(self, plan: Plan, size: int, *, complete: bool) -> dict[Unit, int]:
        """Return the units at most; `size`: bytes of the body at most; `complete`: the whole form was read."""
        if self._meter is Measure.AUDIO:
            return {Unit.MILLISECONDS: -(-size * 1000 // plan.unreadable.audio_bytes_per_second)}
        side = plan.maxima.image_side
        if self._meter is Measure.VIDEO:
            width, height = VIDEO_SIZE if complete else (side, side)
            pixels = (self._number(b"width") or width) * (self._number(b"height") or height)
            return {Unit.PIXELS: pixels * VIDEO_FRAMES, Unit.GENERATIONS: 1}
        if self._meter not in _WITH_IMAGE:
            return {}
        found = self._picture.found if self._picture else None
        unread = plan.unreadable.image_pixels if complete else max(side * side, plan.unreadable.image_pixels)
        pixels = found[0] * found[1] if found else unread
        if self._meter is not Measure.IMAGES_FROM_IMAGE:
            return {Unit.PIXELS: pixels}
        count = self._number(_COUNT) or (1 if complete else plan.maxima.images)
        return {Unit.PIXELS: pixels * count, Unit.GENERATIONS: count}


def segment_declaration(exchange: Exchange, most_bytes: int) -> Callable[[], Awaitable[Declaration]]:
    """Return the `declare` of a pushed segment, which has at most `most_bytes`. It needs a known principal."""

    async def declare() -> Declaration:
        assert exchange.principal is not None  # noqa: S101 - auth stands before whoever calls this
        size = most_bytes if exchange.content_length is None else exchange.content_length
        plan = exchange.principal.plan
        milliseconds = -(-size * 1000 // plan.unreadable.video_bytes_per_second)
        milliseconds = min(max(milliseconds, ASSUMED_SEGMENT_MS), LONGEST_SEGMENT_MS)
        return Declaration(units=_renditions(plan.transcoding, milliseconds))

    return declare


def _renditions(transcoding: Transcoding, milliseconds: int) -> dict[Unit, int]:
    """Return the units of a segment's renditions, square at most: they keep the aspect ratio of their source."""
    made = [
        (max(each.width, each.height), -(-each.fps // each.fps_denominator) or UNKNOWN_RATE)
        for each in transcoding.profiles
    ] or [(max(each.width, each.height), each.rate) for each in DEFAULT_PRESETS]
    frames = [side * side * -(-milliseconds * rate // 1000) for side, rate in made]
    return {Unit.MILLISECONDS: milliseconds * len(made), Unit.PIXELS: sum(frames)}
