"""Which chats may pass: all that their runner takes (gateway contract section 1.2). Pure.

A runner reports a bad parameter in its event stream, by an event without choices; that ends the whole gateway.
"""

import struct
from typing import Any

from config.chats import Chats
from middlewares.edge.ambiguous import check_spelling
from middlewares.edge.members import Document, check_number, invalid_parameter, read_integer

ROLES = ("assistant", "system", "user")
FRAME_TOKENS = 16
"""Tokens a chat template may put around one message."""

_MESSAGE_MEMBERS = frozenset({"content", "role"})
_FLOAT32 = struct.Struct("f")


def check_chat(document: Document, limits: Chats, model: str, max_tokens: int) -> int:
    """Return the upper bound of the prompt's tokens: one per byte of text, and what its template may add.

    Raises `Refusal` (400, `invalid_parameter`).
    """
    rules = limits.rules_of(model)
    check_number(document, "temperature", 0, 2)
    check_number(document, "top_p", 0, 1)
    top_p = document.get("top_p")
    # Gateway and runner read a 32-bit float: 1e-50 is 0 to them.
    if top_p is not None and not rules.zero_top_p and _FLOAT32.unpack(_FLOAT32.pack(top_p))[0] == 0:
        raise invalid_parameter("top_p", "must be above 0 as a 32-bit float, and at most 1")
    if document.get("top_k") != -1:  # -1: every token may be sampled
        read_integer(document, "top_k", 1, 2**31 - 1)
    if not isinstance(document.get("stream", False), bool):
        raise invalid_parameter("stream", "must be true or false")
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid_parameter("messages", "must be a list of at least one message")
    size = sum(_message_size(message, f"messages[{index}]") for index, message in enumerate(messages))
    if rules.roles == "alternating":
        _check_order([message["role"] for message in messages])
    prompt = size + FRAME_TOKENS * len(messages) + rules.template_tokens
    if prompt + max_tokens > rules.context_tokens:
        raise invalid_parameter(
            "messages",
            f"may have up to {prompt} tokens (one for each of {size} bytes, and what frames them); with `max_tokens` "
            f"of {max_tokens} that is over the {rules.context_tokens} that model {model!r} takes",
        )
    return prompt


def _check_order(roles: list[str]) -> None:
    """Check for the order that every chat template takes; a last message of the assistant is no fault to them."""
    first = 1 if roles[0] == "system" else 0
    if len(roles) == first:
        raise invalid_parameter("messages", "must have a message of the user")
    for index, role in enumerate(roles[first:]):
        expected = "assistant" if index % 2 else "user"
        if role != expected:
            name = f"messages[{first + index}].role"
            raise invalid_parameter(name, f"must be {expected}: after a system message, user and assistant alternate")


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
