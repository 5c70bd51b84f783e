"""text-to-image: how many images came out, at the size that was asked for."""

from __future__ import annotations

from config.workloads import Unit
from middlewares.exchange import Declaration
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.json_responses import images

DEFAULT_SIDE = 512
"""Width and height of an image whose request names none (gateway contract section 1.1)."""

# Bound once: before Python 3.12, naming a member of an enum costs as much as a call.
_PIXELS, _GENERATIONS = Unit.PIXELS, Unit.GENERATIONS
_DECLARED = Provenance.DECLARED


class ImagesMeter(ResponseKeeper):
    """Generations are the length of `images` in the answer; pixels are that many times the requested size.

    A 200 that lists no image is a failure: the gateway says 200 with an empty body to what it did not understand
    (gateway contract section 1.0).
    """

    __slots__ = ("_declared",)

    def __init__(self, declared: Declaration) -> None:
        super().__init__()
        self._declared = declared

    def request(self, chunk: bytes) -> None:
        """The request was read before it was admitted: `Declaration` holds it."""

    def usage(self) -> Usage:
        document = self._declared.document or {}
        count, source = self.results(images, _asked(document.get("num_images_per_prompt"), 1))
        if not count:
            return Usage(complete=False)
        pixels = _asked(document.get("width"), DEFAULT_SIDE) * _asked(document.get("height"), DEFAULT_SIDE) * count
        return metered(
            {_PIXELS: pixels, _GENERATIONS: count}, {_PIXELS: _DECLARED, _GENERATIONS: source}, complete=True
        )


def _asked(value: object, default: int) -> int:
    """A positive number of the request; what is no such number the gateway would not have honoured either."""
    return value if type(value) is int and value > 0 else default
