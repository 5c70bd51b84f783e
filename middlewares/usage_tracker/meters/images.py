"""Meter of text-to-image: the number of images made, at the requested size."""

from __future__ import annotations

from config.workloads import Unit
from middlewares.exchange import Declaration
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.bounds import bounded
from middlewares.usage_tracker.meters.json_responses import images

DEFAULT_SIDE = 512
"""Width and height of an image whose request names none (gateway contract section 1.1)."""


class ImagesMeter(ResponseKeeper):
    """Counts generations, the length of `images` in the response, and pixels: that many times the requested size.

    Images beyond `num_images_per_prompt` were not requested, and are not counted. A 200 that lists no image is a
    failure: the gateway sends 200 with an empty body for what it did not understand (gateway contract section 1.0).
    """

    __slots__ = ("_declared",)

    def __init__(self, declared: Declaration) -> None:
        super().__init__()
        self._declared = declared

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: it was read before admission, and `Declaration` holds what counts."""

    def usage(self) -> Usage:
        document = self._declared.document or {}
        requested = _requested(document.get("num_images_per_prompt"), 1)
        count, source = self.results(images, requested)
        if not count:
            return Usage(complete=False)
        pixels = _requested(document.get("width"), DEFAULT_SIDE) * _requested(document.get("height"), DEFAULT_SIDE)
        usage = metered(
            {Unit.PIXELS: pixels * count, Unit.GENERATIONS: count},
            {Unit.PIXELS: Provenance.DECLARED, Unit.GENERATIONS: source},
            complete=True,
        )
        return bounded(usage, {Unit.PIXELS: pixels * requested, Unit.GENERATIONS: requested})


def _requested(value: object, default: int) -> int:
    """Return a positive number of the request, else `default`: the gateway does not honour other values either."""
    return value if type(value) is int and value > 0 else default
