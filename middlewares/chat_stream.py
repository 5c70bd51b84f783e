"""What the response to a chat says, in a JSON document or in an event stream (gateway contract section 1.2). Pure.

One reading for all who need it: what a client is told of a stream and what it is charged for never differ.

A stream is finished when a choice has its `finish_reason`, and done at `data: [DONE]`, after which nothing counts. It
has failed at an event without a choice before it is finished: a runner's failure in disguise, right after which the
gateway ends, or an error that the runner reports itself. An event that the end of the stream leaves without its blank
line counts where its data is whole. What is no JSON counts for nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec

from middlewares.event_stream import EventReader, StreamEvent
from middlewares.json_codec import decode

TOKENS_CEILING = 2**53
"""Largest token count that is believed; larger ones would lose precision in the arithmetic of Redis."""

REASON_CHARACTERS = 64
"""Most characters of a `finish_reason` that are kept; normally it is one word."""

_DONE = b"[DONE]"


class Part(Enum):
    """What one event is to the stream."""

    CHOICE = auto()
    """It has a choice."""
    USAGE = auto()
    """It follows the finish and has no choice: it can only tell the usage."""
    DONE = auto()
    """The end, as some runners write it."""
    ERROR = auto()
    """The runner's own word that it failed."""
    FAILURE = auto()
    """It should have a choice, and has none."""
    NOTHING = auto()
    """A comment, what cannot be read, or what comes after the end."""


class Count(NamedTuple):
    """Tokens as a runner reports them."""

    prompt: int
    completion: int

    def __bool__(self) -> bool:
        return bool(self.prompt or self.completion)


class Completion(msgspec.Struct, gc=False):
    """A response, or one chunk of it. Members of another shape than OpenAI's are as good as missing."""

    choices: Any = None
    usage: Any = None
    error: Any = None

    @property
    def objects(self) -> list[Mapping[str, Any]]:
        """Return the choices."""
        return [each for each in self.choices if isinstance(each, dict)] if isinstance(self.choices, list) else []

    @property
    def count(self) -> Count | None:
        """Return the usage; None if it is missing. Whole numbers may be written as `7.0`."""
        if not isinstance(self.usage, dict):
            return None
        prompt, completion = (_tokens(self.usage.get(name, 0)) for name in ("prompt_tokens", "completion_tokens"))
        return None if prompt is None or completion is None else Count(prompt, completion)

    @property
    def finish_reason(self) -> str:
        """Return the first reason of a choice; empty: none is finished."""
        reasons = (each.get("finish_reason") for each in self.objects)
        return next((reason[:REASON_CHARACTERS] for reason in reasons if isinstance(reason, str) and reason), "")

    def text(self, member: str) -> str:
        """Return the text of the first choice's `message` or `delta`, also where it is a list of parts."""
        holder = next((each.get(member) for each in self.objects), None)
        content = holder.get("content") if isinstance(holder, dict) else None
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            content = "".join(text for text in texts if isinstance(text, str))
        return content if isinstance(content, str) else ""


_COMPLETION = msgspec.json.Decoder(Completion)
_JSON = msgspec.json.Decoder(msgspec.Raw)


def read_completion(text: bytes | bytearray) -> Completion | None:
    """Return what a JSON text says of a chat; None if it is no JSON object."""
    return decode(_COMPLETION, text)


class ChatStream:
    """The event stream of one chat, as far as it was fed."""

    __slots__ = ("_events", "count", "done", "failed", "finish_reason", "texts")

    def __init__(self) -> None:
        self._events = EventReader()
        self.finish_reason = ""
        """Empty: the stream is not finished."""
        self.done = False
        self.failed = False
        self.count: Count | None = None
        """The last usage that was not all zeros, else the last one."""
        self.texts = 0
        """Number of chunks with text."""

    @property
    def reported(self) -> Count | None:
        """Return the usage that is believed; None if there is none, or a runner that counts nothing gave zeros."""
        return self.count if self.count or not self.texts else None

    def feed(self, chunk: bytes) -> list[tuple[Part, StreamEvent]]:
        """Return the events that this chunk completes, and what each is."""
        return [(self._part(event), event) for event in self._events.feed(chunk)]

    def end(self) -> tuple[Part, StreamEvent] | None:
        """Return the event that has not ended, once nothing more comes; None if there is none."""
        event = self._events.rest()
        return (self._part(event, cut=True), event) if event else None

    def ended(self) -> ChatStream:
        """Return the stream as it stands if nothing more comes."""
        whole = copy.copy(self)
        whole.end()
        return whole

    def _part(self, event: StreamEvent, *, cut: bool = False) -> Part:
        data = event.data
        if data is None or self.done or self.failed:
            return Part.NOTHING
        if data.startswith(_DONE):
            self.done = True
            return Part.DONE
        completion = read_completion(data)
        if completion is None:
            if cut or self.finish_reason or decode(_JSON, data) is None:
                return Part.NOTHING
            completion = Completion()  # a number, a list: nothing that has a choice
        if completion.error and not self.finish_reason:
            self.failed = True
            return Part.ERROR
        if completion.objects:
            self.finish_reason = self.finish_reason or completion.finish_reason
            self.texts += bool(completion.text("delta"))
        elif not self.finish_reason:
            self.failed = True
            return Part.FAILURE
        count = completion.count
        if count is not None and (count or not self.count):
            self.count = count
        return Part.CHOICE if completion.objects else Part.USAGE


def _tokens(value: object) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= TOKENS_CEILING else None
