"""image-to-video: frames of the size that was asked for; and what asking for the result of a detached one costs."""

from __future__ import annotations

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media.picture import LARGEST_SIDE
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.form import Form
from middlewares.usage_tracker.meters.json_responses import accepted, detached, images

FRAMES = 25
"""Of every video, whatever is asked for (gateway contract sections 1.1 and 6.1)."""
DEFAULT_WIDTH = 1024
DEFAULT_HEIGHT = 576


class VideoMeter(ResponseKeeper):
    """Generations are the length of `images` in the answer; pixels are 25 frames of the requested size for each.

    A video that the gateway makes detached (202 and a request id) counts when it is accepted, as one generation: that
    is when the gateway pays for it, and its result may be fetched many times or never. See `VideoResultMeter`.
    """

    __slots__ = ("_detached", "_form")

    def __init__(self, headers: Headers) -> None:
        super().__init__()
        self._form = Form(headers, ("width", "height"))
        self._detached = False

    def request(self, chunk: bytes) -> None:
        self._form.feed(chunk)

    def response(self, status: int, headers: Headers) -> None:
        self._detached = status == 202
        super().response(200 if self._detached else status, headers)

    def usage(self) -> Usage:
        count, source = self.results(accepted if self._detached else images, 1)
        if not count:
            return Usage(complete=False)
        width = self._form.number("width", DEFAULT_WIDTH, LARGEST_SIDE)
        height = self._form.number("height", DEFAULT_HEIGHT, LARGEST_SIDE)
        return metered(
            {Unit.PIXELS: width * height * FRAMES * count, Unit.GENERATIONS: count},
            {Unit.PIXELS: Provenance.DECLARED, Unit.GENERATIONS: Provenance.DECLARED if self._detached else source},
            complete=True,
        )


class VideoResultMeter(ResponseKeeper):
    """Asking for a detached video uses nothing: it was counted when it was accepted. Its failure is told in a 200."""

    __slots__ = ("_status",)

    def __init__(self) -> None:
        super().__init__()
        self._status = 0

    def request(self, chunk: bytes) -> None:
        """Nothing of it is counted."""

    def response(self, status: int, headers: Headers) -> None:
        self._status = status
        super().response(status, headers)

    def usage(self) -> Usage:
        if self._status == 200:
            return Usage(complete=self.results(detached, 1)[0] > 0)
        return Usage(complete=200 < self._status < 500)
