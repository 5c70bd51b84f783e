"""What the JSON body of a metered route says it will use. Pure; field names of gateway contract sections 1.1-1.2."""

from collections.abc import Callable, Mapping
from typing import Any

from config.workloads import Unit, Workload
from middlewares.exchange import Declared, Refusal

Document = Mapping[str, Any]

_MAX_SIDE = 65_535
"""Largest side and count: the product of three stays below 2^53, exact in every number type on the way."""
_MAX_TOKENS = 2**31 - 1
_FRAME_TOKENS = 16
"""Tokens a chat template may put around one message."""

_FIELDS = {
    Workload.TEXT_TO_IMAGE: frozenset(
        {
            "guidance_scale",
            "height",
            "loras",
            "model_id",
            "negative_prompt",
            "num_images_per_prompt",
            "num_inference_steps",
            "prompt",
            "safety_check",
            "seed",
            "width",
        }
    ),
    Workload.LLM: frozenset({"max_tokens", "messages", "model", "stream", "temperature", "top_k", "top_p"}),
    Workload.TEXT_TO_SPEECH: frozenset({"description", "model_id", "text"}),
}


def declare(workload: Workload, document: Document) -> Declared:
    """Model and upper bound of the units of one request.

    Raises `Refusal` (400, `invalid_parameter`) for a field whose type or range the gateway or its runner refuses too.
    """
    _check_spelling(document, _FIELDS[workload])
    model = _text(document, "model" if workload is Workload.LLM else "model_id")
    return Declared(model=model or None, units=_UNITS[workload](document), document=document)


def _check_spelling(document: Document, fields: frozenset[str]) -> None:
    """The gateway's JSON decoder ignores letter case: it would read `Width` where every stage here sees no `width`."""
    for name in document:
        if name not in fields and name.casefold() in fields:
            raise _invalid(name, f"must be spelled `{name.casefold()}`")


def _text_to_image(document: Document) -> dict[Unit, int]:
    width = _integer(document, "width", _MAX_SIDE, 512)
    height = _integer(document, "height", _MAX_SIDE, 512)
    count = _integer(document, "num_images_per_prompt", _MAX_SIDE, 1)
    return {Unit.PIXELS: width * height * count, Unit.GENERATIONS: count}


def _llm(document: Document) -> dict[Unit, int]:
    units = {Unit.INPUT_TOKENS: _prompt_tokens(document.get("messages"))}
    tokens = _integer(document, "max_tokens", _MAX_TOKENS, 0)
    if tokens:
        units[Unit.OUTPUT_TOKENS] = tokens
    return units


def _prompt_tokens(messages: object) -> int:
    """At most one token for each byte of text, and a few for the frame of each message."""
    if not isinstance(messages, list):
        return 0
    texts = (message.get("content") for message in messages if isinstance(message, dict))
    return sum(_FRAME_TOKENS + len(text.encode(errors="replace")) for text in texts if isinstance(text, str))


def _text_to_speech(document: Document) -> dict[Unit, int]:
    return {Unit.CHARACTERS: len(_text(document, "text"))}


_UNITS: dict[Workload, Callable[[Document], dict[Unit, int]]] = {
    Workload.TEXT_TO_IMAGE: _text_to_image,
    Workload.LLM: _llm,
    Workload.TEXT_TO_SPEECH: _text_to_speech,
}


def _integer(document: Document, name: str, most: int, default: int) -> int:
    """A whole number from 1 to `most`; `default` where it is missing or null."""
    value = document.get(name)
    if value is None:
        return default
    if type(value) is not int or not 1 <= value <= most:
        raise _invalid(name, f"must be a whole number from 1 to {most}")
    return value


def _text(document: Document, name: str) -> str:
    """A string; empty where it is missing or null."""
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(name, "must be a string")
    return value


def _invalid(name: str, what: str) -> Refusal:
    return Refusal(400, "invalid_parameter", f"`{name}` {what}.", members={"parameter": name})
