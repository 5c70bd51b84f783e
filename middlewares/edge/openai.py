"""From a request as OpenAI clients write it to one of `/llm` (gateway contract section 1.2). Pure.

The gateway drops members that it does not know. Where the answer would then be another than the client asked for,
the request is refused instead; what merely tunes or labels it is left out.
"""

from typing import Any

from middlewares.edge.ambiguous import check_spelling
from middlewares.edge.fields import Document, invalid

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
"""Members that change the answer, and their values that do not."""
_ROLES = {"developer": "system"}
"""What newer models call it."""


def chat_request(document: Document) -> dict[str, Any]:
    """The document for the gateway. Raises `Refusal` (400, `invalid_parameter`) for what it cannot do."""
    check_spelling(document, _KNOWN)
    for name, neutral in _NEUTRAL.items():
        if document.get(name) is not None and document[name] not in neutral:
            raise invalid(name, "is not supported by the models behind this gate; leave it out")
    chat = {name: document[name] for name in _KEPT if document.get(name) is not None}
    if document.get("max_completion_tokens") is not None:
        chat["max_tokens"] = document["max_completion_tokens"]
    if isinstance(chat.get("messages"), list):
        chat["messages"] = [_message(message, f"messages[{at}]") for at, message in enumerate(chat["messages"])]
    return chat


def _message(message: Any, name: str) -> Any:
    """Role and content of a message; what is no message is for others to judge."""
    if not isinstance(message, dict):
        return message
    check_spelling(message, frozenset({"role", "content", "tool_calls"}))
    if message.get("tool_calls"):
        raise invalid(f"{name}.tool_calls", "is not supported by the models behind this gate; leave it out")
    role, content = message.get("role"), message.get("content")
    if isinstance(content, list):
        content = "".join(_text(part, f"{name}.content[{at}]") for at, part in enumerate(content))
    return {"role": _ROLES.get(role, role) if isinstance(role, str) else role, "content": content}


def _text(part: Any, name: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise invalid(name, "must be a text; the models behind this gate take nothing else")
    text: str = part["text"]
    return text
