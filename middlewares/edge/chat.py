"""Which chats may pass: every parameter in the range its runner takes (gateway contract section 1.2). Pure.

A runner tells of a bad parameter in its event stream, by an event without choices; that ends the whole gateway.
"""

from typing import Any

from config.access import Chats
from middlewares.edge.ambiguous import check_spelling
from middlewares.edge.fields import Document, integer, invalid, number

ROLES = ("assistant", "system", "user")
FRAME_TOKENS = 16
"""Tokens a chat template may put around one message."""

_MESSAGE = frozenset({"content", "role"})


def check_chat(document: Document, limits: Chats, model: str) -> int:
    """Tokens of the prompt at most: one for each byte of text, and a few for the frame of each message.

    Raises `Refusal` (400, `invalid_parameter`).
    """
    number(document, "temperature", 0, 2)
    number(document, "top_p", 0, 1)
    if document.get("top_k") != -1:  # none: every token may be sampled
        integer(document, "top_k", 1, 2**31 - 1)
    if not isinstance(document.get("stream", False), bool):
        raise invalid("stream", "must be true or false")
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "must be a list of at least one message")
    size = sum(_message(message, f"messages[{index}]") for index, message in enumerate(messages))
    most = limits.max_prompt_bytes_of.get(model, limits.max_prompt_bytes)
    if size > most:
        raise invalid("messages", f"hold {size} bytes of text; model {model!r} takes at most {most}")
    return size + FRAME_TOKENS * len(messages)


def _message(message: Any, name: str) -> int:
    """Bytes of its text. Role and content are strings, for the gateway reads anything else as an error or as none."""
    if not isinstance(message, dict):
        raise invalid(name, "must be an object with `role` and `content`")
    check_spelling(message, _MESSAGE)
    if message.get("role") not in ROLES:
        raise invalid(f"{name}.role", f"must be one of {', '.join(ROLES)}")
    content = message.get("content")
    if not isinstance(content, str):
        raise invalid(f"{name}.content", "must be a string")
    return len(content.encode(errors="replace"))
