"""The units by which a gateway pays orchestrators (gateway contract section 6.1), kept beside the units that are sold.

They differ: the gateway pays for the tokens that were requested, an operator sells the tokens that came. Both are
recorded, so that cost and revenue can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration

Used = Mapping[Unit, int]
Formula = Callable[[Declaration, Used], int | None]


def network_units(workload: Workload, declared: Declaration, used: Used) -> int | None:
    """Return the units that the gateway multiplies with an orchestrator's price; None: unknown, or no work.

    Pixels for images and videos, milliseconds for audio, tokens for chats, bytes for speech, seconds for BYOC.
    `declared` is what the request said, `used` what its meter counted, as the gateway counts where that differs. Live
    video is paid by the ticks of its sessions (`middlewares.ledger.sessions.session`), no request.
    """
    formula = _FORMULAS.get(workload) if Unit.REQUESTS in used else None
    return formula(declared, used) if formula else None


def network_unit(workload: str) -> str:
    """Return in what the network is paid for a workload; empty where that is not known. Only like units add up."""
    return _UNITS.get(workload, "")


def _requested(unit: Unit) -> Formula:
    """Return the formula for as many as were requested, whatever was delivered."""
    return lambda declared, used: declared.units.get(unit)


def _pixels(declared: Declaration, used: Used) -> int | None:
    """Return pixels: width x height of the input for each image made of it; a video has 25 frames, renditions all."""
    return used.get(Unit.PIXELS)


def _audio(declared: Declaration, used: Used) -> int | None:
    """Return whole seconds, in milliseconds; the gateway refuses less than one second."""
    milliseconds = used.get(Unit.MILLISECONDS)
    return None if milliseconds is None else milliseconds // 1000 * 1000


def _speech(declared: Declaration, used: Used) -> int | None:
    """Return the bytes of the text; the orchestrator itself counts 1000 for each character."""
    text = (declared.document or {}).get("text")
    return len(text.encode(errors="replace")) if isinstance(text, str) else None


def _byoc(declared: Declaration, used: Used) -> int | None:
    """Return seconds, the last one begun counted in full."""
    milliseconds = used.get(Unit.MILLISECONDS)
    return None if milliseconds is None else -(-milliseconds // 1000)


_FORMULAS: dict[Workload, Formula] = {
    Workload.TEXT_TO_IMAGE: _requested(Unit.PIXELS),
    Workload.IMAGE_TO_IMAGE: _pixels,
    Workload.IMAGE_TO_VIDEO: _pixels,
    Workload.UPSCALE: _pixels,
    Workload.SEGMENT_ANYTHING_2: _pixels,
    Workload.IMAGE_TO_TEXT: _pixels,
    Workload.AUDIO_TO_TEXT: _audio,
    Workload.LLM: _requested(Unit.OUTPUT_TOKENS),
    Workload.TEXT_TO_SPEECH: _speech,
    Workload.TRANSCODING: _pixels,
    Workload.BYOC: _byoc,
}

_UNITS: dict[str, str] = {
    **dict.fromkeys(_FORMULAS, "pixels"),
    Workload.LIVE_VIDEO_TO_VIDEO: "pixels",
    Workload.AUDIO_TO_TEXT: "milliseconds",
    Workload.LLM: "tokens",
    Workload.TEXT_TO_SPEECH: "bytes",
    Workload.BYOC: "seconds",
}
