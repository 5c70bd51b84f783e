"""Translation of a request as OpenAI clients write it into one of `/llm` (gateway contract section 1.2). Pure.

The gateway drops members that it does not know. Where the response would then differ from what the client requested,
the request is refused instead; a member that merely tunes or labels it is left out.
"""

from typing import Any

from middlewares.edge.ambiguous import check_spelling
from middlewares.edge.members import Document, invalid_parameter

_KEPT = ("model", "messages", "max_tokens", "stream", "temperature", "top_p", "top_k")
_KNOWN = frozenset({*_KEPT, "max_completion_tokens"})
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "functions": ([],),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "response_format": ({"type": "text"},),
    "stop": ([], ""),
    "tools": ([],),
}
"""Members that change the response, with the values that do not."""
_ROLES = {"developer": "system"}
"""Newer names of roles, and the gateway's."""


def to_gateway_chat(document: Document) -> dict[str, Any]:
    """Return the document for the gateway. Raises `Refusal` (400, `invalid_parameter`) for what it cannot do."""
    check_spelling(document, _KNOWN)
    for name, neutral in _NEUTRAL.items():
        if document.get(name) is not None and document[name] not in neutral:
            raise invalid_parameter(name, "is not supported by the models behind Tollgate; leave it out")
    chat = {name: document[name] for name in _KEPT if document.get(name) is not None}
    if document.get("max_completion_tokens") is not None:
        chat["max_tokens"] = document["max_completion_tokens"]
    if isinstance(chat.get("messages"), list):
        chat["messages"] = [_message(message, f"messages[{at}]") for at, message in enumerate(chat["messages"])]
    return chat


def wants_usage(document: Document) -> bool:
    """Return True if the stream is to end with its usage: `stream_options.include_usage`. Raises `Refusal` (400)."""
    options = document.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict) or not isinstance(wanted := options.get("include_usage", False), bool | None):
        raise invalid_parameter("stream_options", "must be an object, whose `include_usage` is true or false")
    return bool(wanted)


def _message(message: Any, name: str) -> Any:
    """Return role and content of a message; `check_chat` refuses what is none."""
    if not isinstance(message, dict):
        return message
    check_spelling(message, frozenset({"role", "content", "tool_calls"}))
    if message.get("tool_calls"):
        raise invalid_parameter(f"{name}.tool_calls", "is not supported by the models behind Tollgate; leave it out")
    role, content = message.get("role"), message.get("content")
    if isinstance(content, list):
        content = "".join(_text(part, f"{name}.content[{at}]") for at, part in enumerate(content))
    return {"role": _ROLES.get(role, role) if isinstance(role, str) else role, "content": content}


def _text(part: Any, name: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise invalid_parameter(name, "must be a text; the models behind Tollgate take nothing else")
    text: str = part["text"]
    return text
