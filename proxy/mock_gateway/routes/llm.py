"""POST /llm, plain and as server-sent events (CONTRACT.md section 1.2)."""

import ctypes
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NoReturn

from proxy.mock_gateway.call import SSE_HEADERS, Call
from proxy.mock_gateway.gateway import encode, short_id
from proxy.mock_gateway.routes.batch import read_json, take_model

FIELDS = {
    "model": str,
    "messages": list,
    "max_tokens": int,
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "stream": bool,
}
REQUIRED = ("model", "messages", "stream", "max_tokens")
ROLES = {"system", "user", "assistant"}
MAX_MODEL_LEN = 8_192
"""Prompt tokens that the mock gateway's runner takes."""
_NO_CHOICES = {
    "choices": None,
    "created": 0,
    "id": "",
    "model": "",
    "usage": {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 0},
}
"""Event into which the gateway turns a runner's error in the middle of a stream."""


async def llm(call: Call) -> None:
    """Respond to a chat. A prompt's tokens are the words of its messages; the response's are `t0 t1 ...`."""
    fields = await read_json(call, FIELDS)
    if any(name not in fields for name in REQUIRED) or not fields["messages"]:
        await call.error(400, "missing required fields")
    messages = [_message(item) for item in fields["messages"]]
    if None in messages:
        await call.error(400, "json: cannot unmarshal messages into role and content strings")
    model = await take_model(call, fields["model"])
    contents = [message[1] for message in messages if message]
    chat = Chat(model, sum(len(content.split()) for content in contents), call.behaviour.zero_usage)
    roles = {message[0] for message in messages if message}
    refused = _refused_by_runner(fields, roles, chat.prompt_tokens)
    tokens = min(call.behaviour.tokens, fields["max_tokens"])
    if fields["stream"]:
        if refused:
            await _fail_stream(call)
        if call.behaviour.fail_after is not None:
            await _cut(call, chat.events(tokens), call.behaviour.fail_after)
        await call.stream(200, SSE_HEADERS, chat.events(tokens, finish=not call.behaviour.no_finish))
    if refused:
        await call.fail_runner()
    text = " ".join(f"t{i}" for i in range(tokens))
    choice = {"finish_reason": "stop", "index": 0, "message": {"content": text, "role": "assistant"}}
    await call.json(200, chat.response(choice, tokens))


@dataclass(slots=True)
class Chat:
    """One chat, as far as all its responses share it. `zero_usage`: as from a runner that counts nothing."""

    model: str
    prompt_tokens: int
    zero_usage: bool
    chat_id: str = field(default_factory=short_id)

    def response(self, choice: dict[str, object], completion_tokens: int) -> dict[str, object]:
        """Return the whole response, or one event of it."""
        prompt, completion = (0, 0) if self.zero_usage else (self.prompt_tokens, completion_tokens)
        usage = {"completion_tokens": completion, "prompt_tokens": prompt, "total_tokens": prompt + completion}
        return {
            "choices": [choice],
            "created": int(time.time()),
            "id": f"chatcmpl-{self.chat_id}",
            "model": self.model,
            "usage": usage,
        }

    def event(self, content: str, finish_reason: str, completion_tokens: int) -> bytes:
        """Return one server-sent event, with the usage so far."""
        delta = {"content": content, "role": "assistant"}
        choice = {"delta": delta, "finish_reason": finish_reason, "index": 0}
        return b"data: " + encode(self.response(choice, completion_tokens)) + b"\n"

    def events(self, tokens: int, *, finish: bool = True) -> Iterator[bytes]:
        """Yield one event per token, then the finish; no `[DONE]`."""
        for i in range(tokens):
            yield self.event(f"t{i} ", "", i + 1)
        if finish:
            yield self.event("", "stop", tokens)


async def _cut(call: Call, events: Iterator[bytes], count: int) -> NoReturn:
    """Send some events and the runner's error, which arrives as an event without choices."""
    await call.start(200, SSE_HEADERS)
    for event in islice(events, count):
        await call.chunk(event)
    await call.chunk(b"data: " + encode(_NO_CHOICES) + b"\n")
    await _fail_stream(call)


async def _fail_stream(call: Call) -> NoReturn:
    """Crash as on an event without choices: gateway and orchestrator take the first, and only the latter recovers."""
    call.gateway.leak(call.record)
    await call.crash()


def _message(item: Any) -> tuple[str, str] | None:
    """Return role and content of a message, absent ones empty; None if either is no string."""
    if not isinstance(item, dict):
        return None
    role, content = item.get("role") or "", item.get("content") or ""
    return (role, content) if isinstance(role, str) and isinstance(content, str) else None


def _refused_by_runner(fields: dict[str, Any], roles: set[str], prompt: int) -> bool:
    """True if the runner's checks fail, which come after the first byte; it computes in 32-bit floats."""
    return not (
        0 <= fields.get("temperature", 0.7) <= 2
        and 0 < ctypes.c_float(fields.get("top_p", 1)).value <= 1
        and fields["max_tokens"] >= 1
        and roles <= ROLES
        and prompt <= MAX_MODEL_LEN
    )
