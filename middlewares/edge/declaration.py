"""What the JSON body of a metered route declares: its model and the units it can use.

Pure; member names of gateway contract sections 1.1-1.2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from config.access import Edge
from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.client_text import check_length
from middlewares.edge.ambiguous import UniqueNames, check_spelling
from middlewares.edge.chat import check_chat
from middlewares.edge.members import Document, invalid_parameter, read_integer, read_text
from middlewares.exchange import Declaration


def missing_members(workload: Workload, document: Document, settings: Edge, plan: Plan) -> dict[str, Any]:
    """Return the members that the gateway needs and the body lacks (gateway contract sections 1.0 and 1.2).

    Raises `Refusal` (400) where no model is named and none is configured, or where letter case hides a member.
    """
    rules = _RULES[workload]
    check_spelling(document, rules.members)
    added: dict[str, Any] = {}
    if document.get(rules.model) in (None, ""):
        added[rules.model] = default_model(workload, settings)
    if workload is Workload.LLM:
        if document.get("max_tokens") is None:
            added["max_tokens"] = plan.max_tokens.default
        if document.get("stream") is None:
            added["stream"] = False
    return added


def model_member(workload: Workload) -> str:
    """Return the member that names the model in a body of that workload."""
    return _RULES[workload].model


def default_model(workload: Workload, settings: Edge) -> str:
    """Return the configured model of requests that name none. Raises `Refusal` (400) where there is none."""
    model = settings.default_models.get(workload)
    if model is None:
        name = "model" if workload is Workload.LLM else "model_id"
        raise invalid_parameter(name, "is missing; name the model to use")
    return model


def declare(
    workload: Workload, document: Document, body: bytes, settings: Edge, plan: Plan, *, added: Document
) -> Declaration:
    """Return model and upper bound of the units of one request.

    `document`: what `body` says, as the client sent it; `added`: its `missing_members`. Raises `Refusal` (400,
    `invalid_parameter`) for a member whose type or range the gateway or its runner refuses too, and for what two
    readers would read in two ways.
    """
    rules = _RULES[workload]
    whole = {**document, **added} if added else document
    model = read_text(whole, rules.model)
    check_length(rules.model, model)
    units, max_counts = rules.units(whole, settings, plan, model)
    if body.count(b":") != len(document):  # as many colons as names: there are no other members, hence none is repeated
        rules.unique.check(body, max_counts)
    return Declaration(model=model, units=units, document=whole)


def add_members(body: bytes, members: Mapping[str, object], *, first: bool) -> bytes:
    """Return `body`, a JSON object, with more members at its end; `first`: it has none yet.

    Go takes the last of several members of one name.
    """
    added = msgspec.json.encode(members)[1:]
    return body.rstrip(b" \t\r\n")[:-1] + (added if first else b"," + added)


_UpperBound = tuple[dict[Unit, int], Mapping[str, int]]
"""Units at most, and how often a name may occur in the body where that is more than once."""


def _text_to_image(document: Document, settings: Edge, plan: Plan, model: str) -> _UpperBound:
    maxima = plan.maxima  # at most 65,535 each: their product stays below 2^53, exact in every number type on the way
    width = read_integer(document, "width", 1, maxima.image_side) or 512
    height = read_integer(document, "height", 1, maxima.image_side) or 512
    count = read_integer(document, "num_images_per_prompt", 1, maxima.images) or 1
    return {Unit.PIXELS: width * height * count, Unit.GENERATIONS: count}, {}


def _llm(document: Document, settings: Edge, plan: Plan, model: str) -> _UpperBound:
    tokens = read_integer(document, "max_tokens", 1, plan.max_tokens.max) or plan.max_tokens.default
    prompt = check_chat(document, settings.chats, model, tokens)
    _check_prompt("messages", sum(len(each["content"].encode(errors="replace")) for each in document["messages"]), plan)
    messages = len(document["messages"])
    units = {Unit.INPUT_TOKENS: prompt, Unit.OUTPUT_TOKENS: tokens}
    return units, {"content": messages, "role": messages}


def _text_to_speech(document: Document, settings: Edge, plan: Plan, model: str) -> _UpperBound:
    text = read_text(document, "text")
    _check_prompt("text", len(text.encode(errors="replace")), plan)
    return {Unit.CHARACTERS: len(text)}, {}


def _check_prompt(name: str, size: int, plan: Plan) -> None:
    """Raise `Refusal` (400) for a text of `size` bytes that the plan does not take."""
    most = plan.maxima.prompt_bytes
    if most is not None and size > most:
        raise invalid_parameter(name, f"has {size} bytes of text; this plan takes at most {most}")


@dataclass(frozen=True, slots=True)
class _BodyRules:
    """How the JSON body of one workload is read."""

    model: str
    """The member that names the model."""
    members: frozenset[str]
    """Members that the gateway reads, whose spelling is checked."""
    unique: UniqueNames
    """Members on which units, model or safety depend."""
    units: Callable[[Document, Edge, Plan, str], _UpperBound]


_CHAT = ("max_tokens", "messages", "model", "stream", "temperature", "top_k", "top_p")
_RULES = {
    Workload.TEXT_TO_IMAGE: _BodyRules(
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
        unique=UniqueNames("height", "model_id", "num_images_per_prompt", "width"),
        units=_text_to_image,
    ),
    Workload.LLM: _BodyRules(
        model="model", members=frozenset(_CHAT), unique=UniqueNames(*_CHAT, "content", "role"), units=_llm
    ),
    Workload.TEXT_TO_SPEECH: _BodyRules(
        model="model_id",
        members=frozenset({"description", "model_id", "text"}),
        unique=UniqueNames("model_id", "text"),
        units=_text_to_speech,
    ),
}
