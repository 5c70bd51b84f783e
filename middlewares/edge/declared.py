"""What the JSON body of a metered route says it will use. Pure; field names of gateway contract sections 1.1-1.2."""

from collections.abc import Mapping
from typing import Any

from config.access import Edge
from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.edge.ambiguous import Once, check_spelling
from middlewares.edge.chat import check_chat
from middlewares.edge.fields import Document, integer, invalid, text
from middlewares.exchange import Declared

_MAX_SIDE = 65_535
"""Largest side and count: the product of three stays below 2^53, exact in every number type on the way."""

# Bound once: before Python 3.12, naming a member of an enum costs as much as a call.
_PIXELS, _GENERATIONS = Unit.PIXELS, Unit.GENERATIONS
_LLM = Workload.LLM

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
_ONCE = {
    Workload.TEXT_TO_IMAGE: Once("height", "model_id", "num_images_per_prompt", "width"),
    Workload.LLM: Once(*sorted(_FIELDS[Workload.LLM]), "content", "role"),
    Workload.TEXT_TO_SPEECH: Once("model_id", "text"),
}
"""What units, model or safety depend on."""


def missing(workload: Workload, document: Document, settings: Edge, plan: Plan) -> dict[str, Any]:
    """Members that the gateway cannot do without and the body lacks (gateway contract sections 1.0 and 1.2).

    Raises `Refusal` (400) where no model is named and none is configured, or where letter case hides a member.
    """
    check_spelling(document, _FIELDS[workload])
    found: dict[str, Any] = {}
    name = model_field(workload)
    if document.get(name) in (None, ""):
        found[name] = default_model(workload, settings)
    if workload is _LLM:
        if document.get("max_tokens") is None:
            found["max_tokens"] = plan.max_tokens.default
        if document.get("stream") is None:
            found["stream"] = False
    return found


def model_field(workload: Workload) -> str:
    """The field that names the model of a batch request."""
    return "model" if workload is _LLM else "model_id"


def default_model(workload: Workload, settings: Edge) -> str:
    """The configured model of requests that name none. Raises `Refusal` (400) where there is none."""
    model = settings.default_models.get(workload)
    if model is None:
        raise invalid(model_field(workload), "is missing; name the model to use")
    return model


def declare(workload: Workload, document: Document, body: bytes, settings: Edge, plan: Plan) -> Declared:
    """Model and upper bound of the units of one request whose members are all there; `body`: as the client sent it.

    Raises `Refusal` (400, `invalid_parameter`) for a field whose type or range the gateway or its runner refuses too,
    and for what two readers would read in two ways.
    """
    model = text(document, model_field(workload))
    units, most = _UNITS[workload](document, settings, plan, model)
    _ONCE[workload].check(body, most)
    return Declared(model=model, units=units, document=document)


_Bound = tuple[dict[Unit, int], Mapping[str, int]]
"""Units at most, and how often a name may occur in the body where that is more than once."""


def _text_to_image(document: Document, settings: Edge, plan: Plan, model: str) -> _Bound:
    width = integer(document, "width", 1, _MAX_SIDE) or 512
    height = integer(document, "height", 1, _MAX_SIDE) or 512
    count = integer(document, "num_images_per_prompt", 1, _MAX_SIDE) or 1
    return {_PIXELS: width * height * count, _GENERATIONS: count}, {}


def _llm(document: Document, settings: Edge, plan: Plan, model: str) -> _Bound:
    tokens = integer(document, "max_tokens", 1, plan.max_tokens.max) or plan.max_tokens.default
    prompt = check_chat(document, settings.chats, model)
    messages = len(document["messages"])
    units = {Unit.INPUT_TOKENS: prompt, Unit.OUTPUT_TOKENS: tokens}
    return units, {"content": messages, "role": messages}


def _text_to_speech(document: Document, settings: Edge, plan: Plan, model: str) -> _Bound:
    return {Unit.CHARACTERS: len(text(document, "text"))}, {}


_UNITS = {
    Workload.TEXT_TO_IMAGE: _text_to_image,
    Workload.LLM: _llm,
    Workload.TEXT_TO_SPEECH: _text_to_speech,
}
