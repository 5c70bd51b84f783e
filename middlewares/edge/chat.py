"""Which chats may pass: every parameter in the range its runner takes (gateway contract section 1.2). Pure.

A runner reports a bad parameter in its event stream, by an event without choices; that ends the whole gateway.
"""

from typing import Any

from config.access import Chats
from middlewares.edge.ambiguous import check_spelling
from middlewares.edge.members import Document, check_number, invalid_parameter, read_integer

ROLES = ("assistant", "system", "user")
FRAME_TOKENS = 16
"""Tokens a chat template may put around one message."""

_MESSAGE_MEMBERS = frozenset({"content", "role"})


def check_chat(document: Document, limits: Chats, model: str) -> int:
    """Return the upper bound of the prompt's tokens: one per byte of text, and `FRAME_TOKENS` per message.

    Raises `Refusal` (400, `invalid_parameter`).
    """
    check_number(document, "temperature", 0, 2)
    check_number(document, "top_p", 0, 1)
    if document.get("top_k") != -1:  # -1: every token may be sampled
        read_integer(document, "top_k", 1, 2**31 - 1)
    if not isinstance(document.get("stream", False), bool):
        raise invalid_parameter("stream", "must be true or false")
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid_parameter("messages", "must be a list of at least one message")
    size = sum(_message_size(message, f"messages[{index}]") for index, message in enumerate(messages))
    limit = limits.max_prompt_bytes_of.get(model, limits.max_prompt_bytes)
    if size > limit:
        raise invalid_parameter("messages", f"hold {size} bytes of text; model {model!r} takes at most {limit}")
    return size + FRAME_TOKENS * len(messages)


def _message_size(message: Any, name: str) -> int:
    """Return the bytes of a message's text. The gateway takes a role or content that is no string for an error."""
    if not isinstance(message, dict):
        raise invalid_parameter(name, "must be an object with `role` and `content`")
    check_spelling(message, _MESSAGE_MEMBERS)
    if message.get("role") not in ROLES:
        raise invalid_parameter(f"{name}.role", f"must be one of {', '.join(ROLES)}")
    content = message.get("content")
    if not isinstance(content, str):
        raise invalid_parameter(f"{name}.content", "must be a string")
    return len(content.encode(errors="replace"))
