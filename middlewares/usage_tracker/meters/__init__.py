"""One meter per kind of work: it watches an exchange pass and says what was used."""

from __future__ import annotations

from config.transcoding import Transcoding
from config.workloads import Workload
from middlewares.exchange import Exchange
from middlewares.usage_tracker.meters.base import Meter
from middlewares.usage_tracker.meters.count import CountMeter
from middlewares.usage_tracker.meters.images import ImagesMeter
from middlewares.usage_tracker.meters.llm import LlmMeter
from middlewares.usage_tracker.meters.transcoding import TranscodingMeter

__all__ = ["Meter", "meter_for"]

ANSWERING = frozenset(
    {
        Workload.IMAGE_TO_IMAGE,
        Workload.IMAGE_TO_VIDEO,
        Workload.UPSCALE,
        Workload.AUDIO_TO_TEXT,
        Workload.SEGMENT_ANYTHING_2,
        Workload.IMAGE_TO_TEXT,
        Workload.TEXT_TO_SPEECH,
    }
)
ANSWERING_ROUTES = frozenset({"byoc-request"})
"""Workloads, and single routes, whose every success has a body; elsewhere an empty 200 can be all there is to say."""


def meter_for(exchange: Exchange) -> Meter:
    """A fresh meter for an exchange whose route is known and which was admitted."""
    route, declared = exchange.route, exchange.declared
    assert route is not None  # noqa: S101 - edge stands before this stage
    match route.workload:
        case Workload.TEXT_TO_IMAGE:
            return ImagesMeter(declared)
        case Workload.LLM:
            return LlmMeter(declared)
        case Workload.TRANSCODING:
            plan = exchange.principal.plan.transcoding if exchange.principal else Transcoding()
            return TranscodingMeter(plan, exchange.headers)
        case workload:
            return CountMeter(answers=workload in ANSWERING or route.name in ANSWERING_ROUTES)
