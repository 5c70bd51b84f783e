"""What the response to a chat says, in a JSON document or in an event stream (gateway contract section 1.2). Pure.

One reading for all who need it: what a client is told of a stream and what it is charged for never differ.

A stream is finished when a choice has its `finish_reason`, and done at `data: [DONE]`, after which nothing counts. It
has failed at an event without a choice before it is finished: a runner's failure in disguise, right after which the
gateway ends, or an error that the runner reports itself. An event that the end of the stream leaves without its blank
line counts where its data is whole. What is no JSON counts for nothing.
"""

from __future__ import annotations

import copy
from enum import Enum, auto
from typing import Annotated, Any

import msgspec

from middlewares.event_stream import EventReader, StreamEvent
from middlewares.json_codec import decode

TOKENS_CEILING = 2**53
"""Largest token count that is believed; larger ones would lose precision in the arithmetic of Redis."""
REASON_CHARACTERS = 64
"""Most characters of a `finish_reason` that are kept; normally it is one word."""

_DONE = b"[DONE]"
_TokenCount = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_CEILING)]


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


class Count(msgspec.Struct, frozen=True, gc=False):
    """Tokens as a runner reports them."""

    prompt: int
    completion: int

    def __bool__(self) -> bool:
        return bool(self.prompt or self.completion)


class Completion(msgspec.Struct, frozen=True, gc=False):
    """What a response, or one chunk of it, says. Members of another shape than OpenAI's are as good as missing."""

    choices: int
    """How many objects are among its choices."""
    finish_reason: str
    """The first one of a choice; empty: none is finished."""
    text: str
    """Text of the first choice."""
    count: Count | None
    failed: bool
    """True if it has an `error`."""


class _Text(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    message: _Text | None = None
    delta: _Text | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _TokenCount = 0
    completion_tokens: _TokenCount = 0


class _Usual(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: None = None


class _Unusual(msgspec.Struct, gc=False):
    choices: Any = None
    usage: Any = None
    error: Any = None


_USUAL = msgspec.json.Decoder(_Usual)
_UNUSUAL = msgspec.json.Decoder(_Unusual)
_JSON = msgspec.json.Decoder(msgspec.Raw)


def read_completion(text: bytes | bytearray) -> Completion | None:
    """Return what a JSON text says of a chat; None if it is no JSON object."""
    usual = decode(_USUAL, text)
    if usual is None:
        return _read_unusual(text)
    usage, choices = usual.usage, usual.choices
    count = Count(usage.prompt_tokens, usage.completion_tokens) if usage else None
    if not choices:
        return Completion(0, "", "", count, False)
    first = choices[0]
    reason = first.finish_reason
    if not reason and len(choices) > 1:
        reason = next((each.finish_reason for each in choices if each.finish_reason), "")
    holder = first.delta or first.message
    text_found = (holder and holder.content) or ""
    return Completion(len(choices), (reason or "")[:REASON_CHARACTERS], text_found, count, False)


def _read_unusual(text: bytes | bytearray) -> Completion | None:
    """Read a completion of which some member has another shape than a gateway gives it."""
    found = decode(_UNUSUAL, text)
    if found is None:
        return None
    objects = [each for each in found.choices if isinstance(each, dict)] if isinstance(found.choices, list) else []
    reasons = (each.get("finish_reason") for each in objects)
    reason = next((reason for reason in reasons if isinstance(reason, str) and reason), "")
    content = ""
    if objects:
        holder = objects[0].get("delta") or objects[0].get("message")
        content = _text(holder.get("content")) if isinstance(holder, dict) else ""
    return Completion(len(objects), reason[:REASON_CHARACTERS], content, _count(found.usage), bool(found.error))


def _text(content: object) -> str:
    """Return a content as one text, also where it is a list of parts."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _count(usage: object) -> Count | None:
    """Return a usage; None if it is missing. Whole numbers may be written as `7.0`."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = (_tokens(usage.get(name, 0)) for name in ("prompt_tokens", "completion_tokens"))
    return None if prompt is None or completion is None else Count(prompt, completion)


def _tokens(value: object) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= TOKENS_CEILING else None


_NO_OBJECT = Completion(0, "", "", None, False)
"""A number, a list: JSON, and nothing that has a choice."""


class ChatStream:
    """The event stream of one chat, as far as it was fed.

    A meter feeds it, and the response stage, which sees each chunk right after it, takes what that brought.
    """

    __slots__ = ("_ended", "_events", "_latest", "_rest", "count", "done", "failed", "finish_reason", "texts")

    def __init__(self) -> None:
        self._events = EventReader()
        self._latest: list[tuple[Part, StreamEvent]] = []
        """What the last chunk brought, until it is taken."""
        self._ended = False
        self._rest: tuple[Part, StreamEvent] | None = None
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
        self._latest = latest = [(self._part(event), event) for event in self._events.feed(chunk)]
        return latest

    def take(self) -> list[tuple[Part, StreamEvent]]:
        """Take what the last chunk brought; nothing the second time."""
        latest, self._latest = self._latest, []
        return latest

    def end(self) -> tuple[Part, StreamEvent] | None:
        """Return the event that has not ended, once nothing more comes; None if there is none."""
        if not self._ended:
            self._ended = True
            event = self._events.rest()
            self._rest = (self._part(event, cut=True), event) if event else None
        return self._rest

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
            completion = _NO_OBJECT
        if completion.failed and not self.finish_reason:
            self.failed = True
            return Part.ERROR
        if completion.choices:
            self.finish_reason = self.finish_reason or completion.finish_reason
            if completion.text:
                self.texts += 1
        elif not self.finish_reason:
            self.failed = True
            return Part.FAILURE
        count = completion.count
        if count is not None and (count or not self.count):
            self.count = count
        return Part.CHOICE if completion.choices else Part.USAGE
