"""The vocabulary of usage: workloads of a gateway, units that are counted, and units that are sold."""

from enum import StrEnum


class Workload(StrEnum):
    """Kinds of work that client routes request from a gateway (gateway contract section 1)."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    IMAGE_TO_VIDEO = "image-to-video"
    UPSCALE = "upscale"
    AUDIO_TO_TEXT = "audio-to-text"
    LLM = "llm"
    SEGMENT_ANYTHING_2 = "segment-anything-2"
    IMAGE_TO_TEXT = "image-to-text"
    TEXT_TO_SPEECH = "text-to-speech"
    LIVE_VIDEO_TO_VIDEO = "live-video-to-video"
    TRANSCODING = "transcoding"
    BYOC = "byoc"
    PLAYBACK = "playback"


TIMED = frozenset({Workload.AUDIO_TO_TEXT, Workload.LIVE_VIDEO_TO_VIDEO, Workload.TRANSCODING, Workload.BYOC})
"""Workloads whose time has an upper bound before they run; the time of all others is that until their response ends."""


class Unit(StrEnum):
    """Units that usage events count, in whole numbers. Time is in milliseconds."""

    REQUESTS = "requests"
    PIXELS = "pixels"
    GENERATIONS = "generations"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CHARACTERS = "characters"
    MILLISECONDS = "milliseconds"


class SaleUnit(StrEnum):
    """Units that an operator can cap or price; each is one or more counted units times a factor."""

    REQUESTS = "requests"
    PIXELS = "pixels"
    GENERATIONS = "generations"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    TOKENS = "tokens"
    CHARACTERS = "characters"
    SECONDS = "seconds"
    MINUTES = "minutes"
    AMOUNT = "amount"


COUNTED: dict[SaleUnit, tuple[tuple[Unit, ...], int]] = {
    SaleUnit.REQUESTS: ((Unit.REQUESTS,), 1),
    SaleUnit.PIXELS: ((Unit.PIXELS,), 1),
    SaleUnit.GENERATIONS: ((Unit.GENERATIONS,), 1),
    SaleUnit.INPUT_TOKENS: ((Unit.INPUT_TOKENS,), 1),
    SaleUnit.OUTPUT_TOKENS: ((Unit.OUTPUT_TOKENS,), 1),
    SaleUnit.TOKENS: ((Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS), 1),
    SaleUnit.CHARACTERS: ((Unit.CHARACTERS,), 1),
    SaleUnit.SECONDS: ((Unit.MILLISECONDS,), 1_000),
    SaleUnit.MINUTES: ((Unit.MILLISECONDS,), 60_000),
}
"""Counted units behind a sale unit, and how many counted units make one of it. `amount` is money, not counted."""
