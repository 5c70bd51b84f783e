"""The meters: one per kind of work, each measuring the usage of one exchange as it passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from config.plans import Plan
from middlewares.exchange import Exchange
from middlewares.routing.route import RouteTableError
from middlewares.routing.traits import Measure
from middlewares.usage_tracker.media_probe import MediaTools
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

MeterFactory = Callable[[Exchange, MediaTools | None], Meter]


def meter_for(exchange: Exchange, media: MediaTools | None = None) -> Meter:
    """Return a new meter for an exchange whose route is known and which was admitted.

    Without `media` the length of sounds and segments is estimated.
    """
    assert exchange.route is not None  # noqa: S101 - edge stands before this stage
    return _METERS[exchange.route.meter](exchange, media)


def _pictures(count: Callable[[bytearray], int]) -> MeterFactory:
    def meter(exchange: Exchange, media: MediaTools | None) -> Meter:
        pictures = PictureMeter(exchange.headers, _plan(exchange).unreadable.image_pixels, count)
        exchange.undecodable_image = pictures.undecodable
        return pictures

    return meter


def _plan(exchange: Exchange) -> Plan:
    assert exchange.principal is not None  # noqa: S101 - auth stands before this stage
    return exchange.principal.plan


_METERS: dict[Measure, MeterFactory] = {
    Measure.IMAGES: lambda exchange, media: ImagesMeter(exchange.declared),
    Measure.IMAGES_FROM_IMAGE: _pictures(json_responses.images),
    Measure.MASKS: _pictures(json_responses.masks),
    Measure.CAPTION: _pictures(json_responses.text),
    Measure.VIDEO: lambda exchange, media: VideoMeter(exchange.headers),
    Measure.VIDEO_RESULT: lambda exchange, media: VideoResultMeter(),
    Measure.AUDIO: lambda exchange, media: AudioMeter(
        exchange.headers, _plan(exchange).unreadable.audio_bytes_per_second, media
    ),
    Measure.TOKENS: lambda exchange, media: LlmMeter(exchange.declared, partial(setattr, exchange, "chat")),
    Measure.CHARACTERS: lambda exchange, media: SpeechMeter(exchange.declared),
    Measure.RENDITIONS: lambda exchange, media: TranscodingMeter(
        _plan(exchange).transcoding, _plan(exchange).unreadable.video_bytes_per_second, exchange.headers, media
    ),
    Measure.WALL_TIME: lambda exchange, media: ByocMeter(exchange.declared),
    Measure.STREAM_TIME: lambda exchange, media: CountMeter(counts=False),
    Measure.REQUESTS: lambda exchange, media: CountMeter(),
}

if missing := set(Measure) - _METERS.keys():
    raise RouteTableError(f"nothing measures {', '.join(sorted(missing))}")
