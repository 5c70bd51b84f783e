"""text-to-image: how many images came out, at the size that was asked for."""

from __future__ import annotations

import msgspec

from config.workloads import Unit
from middlewares.exchange import Declared, Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import Body, decode, metered

DEFAULT_SIDE = 512
"""Width and height of an image whose request names none (gateway contract section 1.1)."""


class _Image(msgspec.Struct):
    """Any object: several entries may share one URL (gateway contract section 1.1), so only their number counts."""


class _Images(msgspec.Struct):
    images: list[_Image]


_ANSWER = msgspec.json.Decoder(_Images)


class ImagesMeter:
    """Generations are the length of `images` in the answer; pixels are that many times the requested size.

    A 200 that lists no image is a failure: the gateway says 200 with an empty body to what it did not understand
    (gateway contract section 1.0). An answer that cannot be read, being encoded or too long to keep, counts as the
    number of images that was asked for.
    """

    __slots__ = ("_body", "_declared")

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._body: Body | None = None

    def request(self, chunk: bytes) -> None:
        """The request was read before it was admitted: `Declared` holds it."""

    def response(self, status: int, headers: Headers) -> None:
        self._body = Body(headers) if status == 200 else None

    def answer(self, chunk: bytes) -> None:
        if self._body is not None:
            self._body.add(chunk)

    def usage(self) -> Usage:
        body = self._body
        if body is None or not body.size:
            return Usage(complete=False)
        if body.readable:
            found = decode(_ANSWER, body.text)
            count, source = (len(found.images) if found else 0), Provenance.UPSTREAM
        else:
            count, source = self._asked("num_images_per_prompt", 1), Provenance.DECLARED
        if not count:
            return Usage(complete=False)
        pixels = self._asked("width", DEFAULT_SIDE) * self._asked("height", DEFAULT_SIDE) * count
        return metered(
            {Unit.PIXELS: pixels, Unit.GENERATIONS: count},
            {Unit.PIXELS: Provenance.DECLARED, Unit.GENERATIONS: source},
            complete=True,
        )

    def _asked(self, name: str, default: int) -> int:
        """A positive number of the request; what is no such number the gateway would not have honoured either."""
        value = (self._declared.document or {}).get(name)
        return value if type(value) is int and value > 0 else default
