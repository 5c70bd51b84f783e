"""Meter of image-to-image, upscale, segment-anything-2 and image-to-text: the pixels of the image that was sent."""

from __future__ import annotations

from collections.abc import Callable

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media.peek import Peek
from middlewares.usage_tracker.media.picture import picture
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.bounds import bounded
from middlewares.usage_tracker.meters.form import Form
from middlewares.usage_tracker.meters.json_responses import images

MOST_IMAGES = 65_535
"""Largest `num_images_per_prompt` that is believed."""


class PictureMeter(ResponseKeeper):
    """Counts the pixels of the input image, once for each result made of it.

    That is what the gateway pays for (gateway contract section 6.1). Images made of an image have its size; how much an
    upscaler enlarges is not known, so the pixels of its input count, too. `count` returns the number of results in a
    response body. If it is `images`, the results are generations as well, at most as many as were requested.

    The size is the one in the image's own header; width and height in the form are ignored, as by the gateway. An image
    whose header cannot be read has `unreadable_pixels`.
    """

    __slots__ = ("_count", "_form", "_picture", "_unreadable_pixels")

    def __init__(self, headers: Headers, unreadable_pixels: int, count: Callable[[bytearray], int]) -> None:
        super().__init__()
        self._picture = Peek(picture)
        self._form = Form(headers, ("num_images_per_prompt",), file="image", sink=self._picture.feed)
        self._unreadable_pixels = unreadable_pixels
        self._count = count

    def request_body(self, chunk: bytes) -> None:
        self._form.feed(chunk)

    def undecodable(self) -> bool:
        """Return True if an image has passed whose header cannot be read."""
        return self._picture.gave_up

    def usage(self) -> Usage:
        generates = self._count is images
        requested = self._form.number("num_images_per_prompt", 1, MOST_IMAGES) if generates else 1
        count, source = self.results(self._count, requested)
        if not count:
            return Usage(complete=False)
        size = self._picture.found
        pixels = size[0] * size[1] if size else self._unreadable_pixels
        units = {Unit.PIXELS: pixels * count}
        provenance = {Unit.PIXELS: Provenance.MEASURED if size else Provenance.ESTIMATED}
        if generates:
            units[Unit.GENERATIONS] = count
            provenance[Unit.GENERATIONS] = source
        most = {Unit.PIXELS: pixels * requested, Unit.GENERATIONS: requested}
        return bounded(metered(units, provenance, complete=True), most)
