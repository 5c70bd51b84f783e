"""Meter of llm: the tokens that the runner reports, in a JSON document or in an event stream.

Go writes a usage that the runner never gave as zeros (gateway contract section 1.2), so zeros need judgement:

- The usage of a JSON response is taken as it is: zeros are zeros. Without any, its output is estimated from its text.
- In a stream every chunk repeats the usage so far; the last one that is not all zeros counts. In particular a final
  `completion_tokens` of 0 beside a prompt that was counted stays 0.
- A stream whose chunks all say zero, or nothing, and that brought text all the same had a runner that counts nothing:
  its output is estimated at one token per chunk with text, and nothing is said about its input. Had it brought no
  text, zeros would be zeros.

A stream is complete when a chunk gave a `finish_reason`; one that ended without was cut, and the last usage it
carried is what it used. A JSON response is complete when it parses and has a choice.

No report counts beyond what was requested: output above `max_tokens`, or input above what the prompt can be in tokens.
"""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec

from config.workloads import Unit
from middlewares.exchange import Declaration, Headers
from middlewares.json_codec import decode
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import TOKENS_CEILING, KeptResponse, WithoutMedia, header, metered
from middlewares.usage_tracker.meters.bounds import bounded
from middlewares.usage_tracker.meters.sse import DataLines

BYTES_PER_TOKEN = 4
"""Estimate for text whose tokens the runner did not count."""

REASON_CHARACTERS = 64
"""Most characters of a `finish_reason` in an event; normally it is one word."""

TOKEN_UNITS = (Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS)

Tokens = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_CEILING)]


class _Text(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    message: _Text | None = None
    delta: _Text | None = None


class _Count(msgspec.Struct, gc=False):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0


class _Choices(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


class _Counted(msgspec.Struct, gc=False):
    usage: _Count | None = None


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Count | None = None


_COMPLETION = msgspec.json.Decoder(_Completion)
_CHOICES = msgspec.json.Decoder(_Choices)
_COUNTED = msgspec.json.Decoder(_Counted)


def _read(text: bytes | bytearray) -> tuple[list[_Choice] | None, _Count | None]:
    """Return choices and usage of a response or a chunk. If one of the two is malformed, the other is still read."""
    found = decode(_COMPLETION, text)
    if found is not None:
        return found.choices, found.usage
    choices, counted = decode(_CHOICES, text), decode(_COUNTED, text)
    return choices.choices if choices else None, counted.usage if counted else None


class _Reader(Protocol):
    def feed(self, chunk: bytes) -> None: ...

    def usage(self) -> Usage: ...


class LlmMeter(WithoutMedia):
    """Counts input and output tokens of one chat completion."""

    __slots__ = ("_declared", "_reader")

    def __init__(self, declared: Declaration) -> None:
        self._declared = declared
        self._reader: _Reader | None = None

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: it was read before admission, and `Declaration` holds what counts."""

    def response_start(self, status: int, headers: Headers) -> None:
        if status != 200:
            self._reader = None
            return
        body = KeptResponse(headers)
        streams = header(headers, b"content-type").startswith(b"text/event-stream")
        self._reader = _Stream() if streams and body.readable else _Document(body, self._declared)

    def response_body(self, chunk: bytes) -> None:
        if self._reader is not None:
            self._reader.feed(chunk)

    def usage(self) -> Usage:
        if self._reader is None:
            return Usage(complete=False)
        return bounded(self._reader.usage(), self._declared.units)


class _Document:
    """A JSON response. One that cannot be read, being encoded or too long to keep, counts as what was declared."""

    __slots__ = ("_body", "_declared")

    def __init__(self, body: KeptResponse, declared: Declaration) -> None:
        self._body = body
        self._declared = declared

    def feed(self, chunk: bytes) -> None:
        self._body.add(chunk)

    def usage(self) -> Usage:
        if not self._body.size:
            return Usage(complete=False)
        if not self._body.readable:
            units = {unit: self._declared.units[unit] for unit in TOKEN_UNITS if unit in self._declared.units}
            return metered(units, dict.fromkeys(units, Provenance.DECLARED), complete=True)
        choices, count = _read(self._body.text)
        if not choices:
            return Usage(complete=False)
        choice = choices[0]
        reason = _reason(choice)
        if count is not None:
            return _reported(count, complete=True, finish_reason=reason)
        text = (choice.message and choice.message.content) or ""
        tokens = -(-len(text.encode()) // BYTES_PER_TOKEN)
        return _estimated(tokens, complete=True, finish_reason=reason)


class _Stream:
    """An event stream. Keeps the last usage, and what an estimate needs if there is none."""

    __slots__ = ("_count", "_lines", "_reason", "_texts")

    def __init__(self) -> None:
        self._lines = DataLines()
        self._count: _Count | None = None
        self._texts = 0
        self._reason = ""

    def feed(self, chunk: bytes) -> None:
        for value in self._lines.feed(chunk):
            choices, count = _read(value)
            if choices:
                choice = choices[0]
                self._reason = self._reason or _reason(choice)
                if choice.delta and choice.delta.content:
                    self._texts += 1
            if count is not None and (self._count is None or count.prompt_tokens or count.completion_tokens):
                self._count = count

    def usage(self) -> Usage:
        complete = bool(self._reason)
        count = self._count
        if count is not None and (count.prompt_tokens or count.completion_tokens or not self._texts):
            return _reported(count, complete=complete, finish_reason=self._reason)
        if self._texts:
            return _estimated(self._texts, complete=complete, finish_reason=self._reason)
        return metered({}, {}, complete=complete, finish_reason=self._reason)


def _reason(choice: _Choice) -> str:
    return (choice.finish_reason or "")[:REASON_CHARACTERS]


def _reported(count: _Count, *, complete: bool, finish_reason: str) -> Usage:
    units = {Unit.INPUT_TOKENS: count.prompt_tokens, Unit.OUTPUT_TOKENS: count.completion_tokens}
    return metered(units, dict.fromkeys(units, Provenance.UPSTREAM), complete=complete, finish_reason=finish_reason)


def _estimated(tokens: int, *, complete: bool, finish_reason: str) -> Usage:
    return metered(
        {Unit.OUTPUT_TOKENS: tokens},
        {Unit.OUTPUT_TOKENS: Provenance.ESTIMATED},
        complete=complete,
        finish_reason=finish_reason,
    )
