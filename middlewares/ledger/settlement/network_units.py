"""What the network is paid for: the units by which a gateway pays orchestrators (gateway contract section 6.1).

They differ from what is sold here where that is what really happened: the gateway pays for the tokens that were asked
for, an operator sells the tokens that came. Kept beside each other, so that cost and revenue can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration

_REQUESTS = Unit.REQUESTS  # bound once: before Python 3.12, naming a member of an enum costs as much as a call

Used = Mapping[Unit, int]
Formula = Callable[[Declaration, Used], int | None]


def network_units(workload: Workload, declared: Declaration, used: Used) -> int | None:
    """Units of one request as the gateway multiplies them with an orchestrator's price; None: not known, or no work.

    Pixels for images and videos, milliseconds for audio, tokens for chats, bytes for speech, seconds for BYOC.
    `declared` is what the request said, `used` what its meter counted. Live video is paid by the ticks of its sessions
    (`middlewares.ledger.sessions.session`), no request.
    """
    formula = _FORMULAS.get(workload) if _REQUESTS in used else None
    return formula(declared, used) if formula else None


def _asked(unit: Unit) -> Formula:
    """As many as the request asked for, whatever came of it."""
    return lambda declared, used: declared.units.get(unit)


def _pixels(declared: Declaration, used: Used) -> int | None:
    """Width x height of the input, for each image made of it; of a video its 25 frames; of renditions all frames."""
    return used.get(Unit.PIXELS)


def _audio(declared: Declaration, used: Used) -> int | None:
    """Whole seconds, in milliseconds; less than one second is refused."""
    milliseconds = used.get(Unit.MILLISECONDS)
    return None if milliseconds is None else milliseconds // 1000 * 1000


def _speech(declared: Declaration, used: Used) -> int | None:
    """Bytes of the text, where the orchestrator itself counts 1000 for each character."""
    text = (declared.document or {}).get("text")
    return len(text.encode(errors="replace")) if isinstance(text, str) else None


def _byoc(declared: Declaration, used: Used) -> int | None:
    """Seconds begun."""
    milliseconds = used.get(Unit.MILLISECONDS)
    return None if milliseconds is None else -(-milliseconds // 1000)


_FORMULAS: dict[Workload, Formula] = {
    Workload.TEXT_TO_IMAGE: _asked(Unit.PIXELS),
    Workload.IMAGE_TO_IMAGE: _pixels,
    Workload.IMAGE_TO_VIDEO: _pixels,
    Workload.UPSCALE: _pixels,
    Workload.SEGMENT_ANYTHING_2: _pixels,
    Workload.IMAGE_TO_TEXT: _pixels,
    Workload.AUDIO_TO_TEXT: _audio,
    Workload.LLM: _asked(Unit.OUTPUT_TOKENS),
    Workload.TEXT_TO_SPEECH: _speech,
    Workload.TRANSCODING: _pixels,
    Workload.BYOC: _byoc,
}
