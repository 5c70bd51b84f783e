"""What the JSON body of a metered route says it will use. Pure; field names of gateway contract sections 1.1-1.2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


def missing(workload: Workload, document: Document, settings: Edge, plan: Plan) -> dict[str, Any]:
    """Members that the gateway cannot do without and the body lacks (gateway contract sections 1.0 and 1.2).

    Raises `Refusal` (400) where no model is named and none is configured, or where letter case hides a member.
    """
    shape = _SHAPES[workload]
    check_spelling(document, shape.members)
    found: dict[str, Any] = {}
    if document.get(shape.model) in (None, ""):
        found[shape.model] = default_model(workload, settings)
    if workload is _LLM:
        if document.get("max_tokens") is None:
            found["max_tokens"] = plan.max_tokens.default
        if document.get("stream") is None:
            found["stream"] = False
    return found


def default_model(workload: Workload, settings: Edge) -> str:
    """The configured model of requests that name none. Raises `Refusal` (400) where there is none."""
    model = settings.default_models.get(workload)
    if model is None:
        raise invalid("model" if workload is _LLM else "model_id", "is missing; name the model to use")
    return model


def declare(
    workload: Workload, document: Document, body: bytes, settings: Edge, plan: Plan, *, added: Document
) -> Declared:
    """Model and upper bound of the units of one request.

    `document`: what `body` says, as the client sent it; `added`: its `missing` members. Raises `Refusal` (400,
    `invalid_parameter`) for a field whose type or range the gateway or its runner refuses too, and for what two readers
    would read in two ways.
    """
    shape = _SHAPES[workload]
    whole = {**document, **added} if added else document
    model = text(whole, shape.model)
    units, most = shape.units(whole, settings, plan, model)
    if body.count(b":") != len(document):  # as many colons as names: there are no other members, hence none is repeated
        shape.once.check(body, most)
    return Declared(model=model, units=units, document=whole)


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


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the gate looks at in the body of a workload."""

    model: str
    """The member that names the model."""
    members: frozenset[str]
    once: Once
    """What units, model or safety depend on."""
    units: Callable[[Document, Edge, Plan, str], _Bound]


_CHAT = ("max_tokens", "messages", "model", "stream", "temperature", "top_k", "top_p")
_SHAPES = {
    Workload.TEXT_TO_IMAGE: _Shape(
        model="model_id",
        members=frozenset(
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
        once=Once("height", "model_id", "num_images_per_prompt", "width"),
        units=_text_to_image,
    ),
    Workload.LLM: _Shape(model="model", members=frozenset(_CHAT), once=Once(*_CHAT, "content", "role"), units=_llm),
    Workload.TEXT_TO_SPEECH: _Shape(
        model="model_id",
        members=frozenset({"description", "model_id", "text"}),
        once=Once("model_id", "text"),
        units=_text_to_speech,
    ),
}
