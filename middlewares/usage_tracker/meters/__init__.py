"""The meters: one per kind of work, each measuring the usage of one exchange as it passes."""

from __future__ import annotations

from collections.abc import Callable

from config.plans import Plan
from middlewares.exchange import Exchange
from middlewares.usage_tracker.meters import json_responses
from middlewares.usage_tracker.meters.audio import AudioMeter
from middlewares.usage_tracker.meters.base import Meter
from middlewares.usage_tracker.meters.byoc import ByocMeter
from middlewares.usage_tracker.meters.count import CountMeter
from middlewares.usage_tracker.meters.images import ImagesMeter
from middlewares.usage_tracker.meters.llm import LlmMeter
from middlewares.usage_tracker.meters.pictures import PictureMeter
from middlewares.usage_tracker.meters.speech import SpeechMeter
from middlewares.usage_tracker.meters.transcoding import TranscodingMeter
from middlewares.usage_tracker.meters.video import VideoMeter, VideoResultMeter

__all__ = ["Meter", "meter_for"]

STREAM_ROUTES = (
    "live-update",
    "live-status",
    "live-whip",
    "live-whip-session",
    "live-whep",
    "byoc-stream-start",
    "byoc-stream-stop",
    "byoc-stream-update",
    "byoc-stream-status",
    "byoc-stream-data",
    "byoc-stream-whip",
)
"""Routes of a stream that is paid for by the time it lives, so that their own requests count nothing. A WHIP offer is
accepted even where no stream comes of it (gateway contract section 2)."""


def meter_for(exchange: Exchange) -> Meter:
    """Return a new meter for an exchange whose route is known and which was admitted."""
    assert exchange.route is not None  # noqa: S101 - edge stands before this stage
    make = _METERS.get(exchange.route.name) or _METERS.get(exchange.route.workload)
    return make(exchange) if make else CountMeter()


def _pictures(count: Callable[[bytearray], int]) -> Callable[[Exchange], Meter]:
    return lambda exchange: PictureMeter(exchange.headers, _plan(exchange).unreadable.image_pixels, count)


def _plan(exchange: Exchange) -> Plan:
    assert exchange.principal is not None  # noqa: S101 - auth stands before this stage
    return exchange.principal.plan


_METERS: dict[str, Callable[[Exchange], Meter]] = {
    "text-to-image": lambda exchange: ImagesMeter(exchange.declared),
    "image-to-image": _pictures(json_responses.images),
    "image-to-video": lambda exchange: VideoMeter(exchange.headers),
    "image-to-video-result": lambda exchange: VideoResultMeter(),
    "upscale": _pictures(json_responses.images),
    "audio-to-text": lambda exchange: AudioMeter(exchange.headers, _plan(exchange).unreadable.audio_bytes_per_second),
    "llm": lambda exchange: LlmMeter(exchange.declared),
    "segment-anything-2": _pictures(json_responses.masks),
    "image-to-text": _pictures(json_responses.text),
    "text-to-speech": lambda exchange: SpeechMeter(exchange.declared),
    "transcoding": lambda exchange: TranscodingMeter(_plan(exchange).transcoding, exchange.headers),
    "byoc-request": lambda exchange: ByocMeter(),
    **dict.fromkeys(STREAM_ROUTES, lambda exchange: CountMeter(counts=False)),
}
"""Makers of meters by the name of a route or of its workload; without one only the request is counted."""
