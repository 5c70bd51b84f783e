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

from collections.abc import Callable
from typing import Protocol

from config.workloads import Unit
from middlewares.chat_stream import ChatStream, Count, read_completion
from middlewares.exchange import Declaration, Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import KeptResponse, WithoutMedia, header, metered
from middlewares.usage_tracker.meters.bounds import bounded

BYTES_PER_TOKEN = 4
"""Estimate for text whose tokens the runner did not count."""

TOKEN_UNITS = (Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS)


class _Reader(Protocol):
    def feed(self, chunk: bytes) -> None: ...

    def usage(self) -> Usage: ...


class LlmMeter(WithoutMedia):
    """Counts input and output tokens of one chat completion."""

    __slots__ = ("_declared", "_reader", "_share")

    def __init__(self, declared: Declaration, share: Callable[[ChatStream], None] = lambda stream: None) -> None:
        """`share` is called with the reader of an event stream, for others who want to know what is in it."""
        self._declared = declared
        self._share = share
        self._reader: _Reader | None = None

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: it was read before admission, and `Declaration` holds what counts."""

    def response_start(self, status: int, headers: Headers) -> None:
        if status != 200:
            self._reader = None
            return
        body = KeptResponse(headers)
        streams = header(headers, b"content-type").startswith(b"text/event-stream")
        if streams and body.readable:
            stream = ChatStream()
            self._share(stream)
            self._reader = _Stream(stream)
        else:
            self._reader = _Document(body, self._declared)

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
        completion = read_completion(self._body.text)
        if completion is None or not completion.choices:
            return Usage(complete=False)
        reason = completion.finish_reason
        if completion.count is not None:
            return _reported(completion.count, complete=True, finish_reason=reason)
        tokens = -(-len(completion.text.encode()) // BYTES_PER_TOKEN)
        return _estimated(tokens, complete=True, finish_reason=reason)


class _Stream:
    """An event stream."""

    __slots__ = ("_stream",)

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream

    def feed(self, chunk: bytes) -> None:
        self._stream.feed(chunk)

    def usage(self) -> Usage:
        stream = self._stream.ended()
        complete, reason = bool(stream.finish_reason), stream.finish_reason
        if stream.reported is not None:
            return _reported(stream.reported, complete=complete, finish_reason=reason)
        if stream.texts:
            return _estimated(stream.texts, complete=complete, finish_reason=reason)
        return metered({}, {}, complete=complete, finish_reason=reason)


def _reported(count: Count, *, complete: bool, finish_reason: str) -> Usage:
    units = {Unit.INPUT_TOKENS: count.prompt, Unit.OUTPUT_TOKENS: count.completion}
    return metered(units, dict.fromkeys(units, Provenance.UPSTREAM), complete=complete, finish_reason=finish_reason)


def _estimated(tokens: int, *, complete: bool, finish_reason: str) -> Usage:
    return metered(
        {Unit.OUTPUT_TOKENS: tokens},
        {Unit.OUTPUT_TOKENS: Provenance.ESTIMATED},
        complete=complete,
        finish_reason=finish_reason,
    )
