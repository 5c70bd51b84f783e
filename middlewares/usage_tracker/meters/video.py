"""Meters of image-to-video: frames of the requested size; and of the route for results of asynchronous videos."""

from __future__ import annotations

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.gateway_facts import VIDEO_FRAMES, VIDEO_SIZE
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media.picture import LARGEST_SIDE
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.bounds import bounded
from middlewares.usage_tracker.meters.form import Form
from middlewares.usage_tracker.meters.json_responses import accepted, finished_video, images


class VideoMeter(ResponseKeeper):
    """Counts generations, the length of `images` in the response, and pixels: 25 frames of the requested size for each.

    An asynchronous video (202 and a request id) counts when it is accepted, as one generation: that is when the gateway
    pays for it, and its result may be fetched many times or never. See `VideoResultMeter`.
    """

    __slots__ = ("_asynchronous", "_form")

    def __init__(self, headers: Headers) -> None:
        super().__init__()
        self._form = Form(headers, ("width", "height"))
        self._asynchronous = False

    def request_body(self, chunk: bytes) -> None:
        self._form.feed(chunk)

    def response_start(self, status: int, headers: Headers) -> None:
        self._asynchronous = status == 202
        super().response_start(200 if self._asynchronous else status, headers)

    def usage(self) -> Usage:
        count, source = self.results(accepted if self._asynchronous else images, 1)
        if not count:
            return Usage(complete=False)
        width = self._form.number("width", VIDEO_SIZE[0], LARGEST_SIDE)
        height = self._form.number("height", VIDEO_SIZE[1], LARGEST_SIDE)
        pixels = width * height * VIDEO_FRAMES
        usage = metered(
            {Unit.PIXELS: pixels * count, Unit.GENERATIONS: count},
            {Unit.PIXELS: Provenance.DECLARED, Unit.GENERATIONS: Provenance.DECLARED if self._asynchronous else source},
            complete=True,
        )
        return bounded(usage, {Unit.PIXELS: pixels, Unit.GENERATIONS: 1})  # a request is for one video


class VideoResultMeter(ResponseKeeper):
    """Counts nothing: the video was counted when it was accepted. Its failure is reported in the body of a 200."""

    __slots__ = ("_status",)

    def __init__(self) -> None:
        super().__init__()
        self._status = 0

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: nothing of it is counted."""

    def response_start(self, status: int, headers: Headers) -> None:
        self._status = status
        super().response_start(status, headers)

    def usage(self) -> Usage:
        if self._status == 200:
            return Usage(complete=self.results(finished_video, 1)[0] > 0)
        return Usage(complete=200 < self._status < 500)
