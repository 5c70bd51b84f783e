"""Responses of `/llm` as OpenAI clients expect them (gateway contract section 1.2), rewritten as they pass.

The gateway writes neither `object` nor `data: [DONE]`, an empty `finish_reason` where there is none yet, the usage into
every chunk, and errors without a type. An event leaves as soon as it is whole; a JSON document is held back until then.
What a stream says is read by `middlewares.chat_stream`. One that has failed gets an error, also for clients of `/llm`
itself, and nothing of it follows; for these, everything else passes byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from starlette.types import Message

from middlewares.chat_stream import ChatStream, Count, Part, read_completion
from middlewares.event_stream import StreamEvent
from middlewares.exchange import Refusal
from middlewares.json_codec import decode
from middlewares.whole_response import is_plain, when_whole, without_length

DONE = b"data: [DONE]\n\n"
TRUNCATED = (
    b'data: {"error":{"message":"The response ended before it was complete.","type":"server_error","param":null,'
    b'"code":"gateway_truncated"}}\n\n'
)
"""Sent in place of `DONE` where no choice was finished; clients raise it as an error."""

RUNNER_FAILED = (
    b'data: {"error":{"message":"The model failed.","type":"server_error","param":null,"code":"gateway_failed"}}\n\n'
)
"""Sent in place of an event without a choice; the gateway ends right after it (gateway contract section 1.2)."""

KEEP_ALIVE = b":\n\n"
"""Sent in place of a comment, which proxies on the way take for a sign of life."""

_Members = dict[str, msgspec.Raw]
"""A JSON object whose values are left as they are written."""

_MEMBERS = msgspec.json.Decoder(_Members)
_EMPTY_REASON = re.compile(rb'"finish_reason"\s*:\s*""')  # cannot be inside a string, where quotes are escaped
_ENCODER = msgspec.json.Encoder()
_NULL = msgspec.Raw(b"null")
_NO_CHOICE = msgspec.Raw(b"[]")
_CHUNK = msgspec.Raw(b'"chat.completion.chunk"')
_COMPLETION = msgspec.Raw(b'"chat.completion"')


def _nothing_more() -> None:
    """Do nothing more than refuse."""


class ChatResponse:
    """An ASGI `send` for one chat; `openai` is True if its client speaks OpenAI's dialect, not the gateway's.

    With `include_usage`, a stream of OpenAI's dialect ends with a chunk that has the usage and no choice.
    """

    def __init__(
        self,
        send: Callable[[Message], Awaitable[None]],
        *,
        openai: bool,
        stream: ChatStream | None = None,
        include_usage: bool = False,
        on_failure: Callable[[], None] = _nothing_more,
    ) -> None:
        """`stream` is fed with each chunk by somebody else, right before this sees it; None: nobody reads it yet.

        `on_failure` is called before the refusal of a JSON response that has no choice is raised.
        """
        self._send = send
        self._stream = stream
        self._on_failure = on_failure
        self._openai = openai
        self._include_usage = include_usage
        self._rewrite: Callable[[bytes, bool], bytes] | None = None

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on head and body of a gateway's response in the dialect of the client."""
        if message["type"] == "http.response.start":
            message = self._begin(message)
        elif message["type"] == "http.response.body" and self._rewrite is not None:
            body = self._rewrite(message.get("body", b""), not message.get("more_body", False))
            message = {**message, "body": body}
        return self._send(message)

    def _begin(self, head: Message) -> Message:
        """Choose how the body is rewritten; return the head that the client is sent."""
        if not is_plain(head):
            return head
        media_type = dict(head["headers"]).get(b"content-type", b"").lower()
        default = b"application/json" if head["status"] == 200 else b""
        if head["status"] == 200 and media_type.startswith(b"text/event-stream"):
            stream = self._stream
            writer = (
                _OpenAiWriter(stream, include_usage=self._include_usage) if self._openai else _GatewayWriter(stream)
            )
            self._rewrite = writer.feed
            return without_length(head)
        if self._openai and (media_type or default).startswith(b"application/json"):
            finish = partial(_openai_document, status=head["status"], on_failure=self._on_failure)
            self._send = when_whole(self._send, _always, finish)  # without this object: what refers to itself stays
        return head


def _always(_: Message) -> bool:
    return True


async def _openai_document(body: bytes, *, status: int, on_failure: Callable[[], None]) -> bytes:
    """Return a JSON response with what OpenAI clients read of it; an error that is no object stays as it is.

    Raises `Refusal` (502) for a success without a choice, which they take for granted.
    """
    members = decode(_MEMBERS, body)
    if status == 200:
        completion = read_completion(body)
        if members is None or completion is None or not completion.choices:
            on_failure()
            raise Refusal(502, "gateway_failed", "The model failed: the gateway's response has no choice.")
        return _ENCODER.encode({"object": _COMPLETION} | members)
    if members is None:
        return body
    known = {"type": "server_error" if status >= 500 else "invalid_request_error", "param": None, "code": None}
    error = members.get("error", _NULL)
    named = decode(_MEMBERS, bytes(error))
    return _ENCODER.encode(members | {"error": known | ({"message": error} if named is None else named)})


class _StreamWriter:
    """Writes what the events of a stream say."""

    def __init__(self, stream: ChatStream | None) -> None:
        self._stream = ChatStream() if stream is None else stream
        self._fed = stream is not None

    def _events(self, chunk: bytes) -> list[tuple[Part, StreamEvent]]:
        return self._stream.take() if self._fed else self._stream.feed(chunk)


class _GatewayWriter(_StreamWriter):
    """Passes an event stream on byte for byte, until it fails."""

    def __init__(self, stream: ChatStream | None) -> None:
        super().__init__(stream)
        self._failed = False
        """True once the client was told of a failure."""

    def feed(self, chunk: bytes, last: bool) -> bytes:
        """Return what the client is sent of a chunk; `last`: nothing more comes."""
        if self._failed:
            return b""
        events = self._events(chunk)
        rest = self._stream.end() if last else None
        passed: list[bytes] = []
        for part, event in [*events, rest] if rest else events:
            if part is Part.FAILURE:
                self._failed = True
                passed.append(RUNNER_FAILED)
                break
            passed.append(event.raw)
        return b"".join(passed)


class _OpenAiWriter(_StreamWriter):
    """Writes the events of a stream anew, and ends it with `DONE`, `TRUNCATED` or an error."""

    def __init__(self, stream: ChatStream | None, *, include_usage: bool) -> None:
        super().__init__(stream)
        self._include_usage = include_usage
        self._members: _Members = {}
        """Those of the last chunk, as every chunk of a stream has them."""
        self._ended = False

    def feed(self, chunk: bytes, last: bool) -> bytes:
        """Return what the client is sent of a chunk; `last`: nothing more comes."""
        text = b"".join(self._written(part, event) for part, event in self._events(chunk))
        if not last or self._ended:
            return text
        rest = self._stream.end()
        return text + (self._written(*rest) if rest and rest[1].data is not None else b"") + self._end()

    def _written(self, part: Part, event: StreamEvent) -> bytes:
        if part is Part.CHOICE:
            return self._chunk(event)
        if part is Part.DONE:
            return self._end()
        if part is Part.ERROR or part is Part.FAILURE:
            self._ended = True
            return _event(event.data) if part is Part.ERROR and event.data else RUNNER_FAILED
        comment = event.data is None and event.raw.lstrip(b"\r\n").startswith(b":")
        return KEEP_ALIVE if comment and not self._ended else b""

    def _chunk(self, event: StreamEvent) -> bytes:
        members = decode(_MEMBERS, event.data or b"") or {}
        choices = bytes(members.pop("choices", _NO_CHOICE))
        if b'""' in choices:  # a reason that is missing, or a text that is empty
            choices = _EMPTY_REASON.sub(b'"finish_reason":null', choices)
        members["usage"] = _NULL
        members["object"] = _CHUNK
        self._members = members
        return _event(_ENCODER.encode(members | {"choices": msgspec.Raw(choices)}))

    def _end(self) -> bytes:
        """Return the last events of the stream, once."""
        if self._ended:
            return b""
        self._ended = True
        if not self._stream.finish_reason:
            return TRUNCATED
        return (self._usage() if self._include_usage else b"") + DONE

    def _usage(self) -> bytes:
        count = self._stream.reported or Count(0, self._stream.texts)
        usage = {
            "prompt_tokens": count.prompt,
            "completion_tokens": count.completion,
            "total_tokens": count.prompt + count.completion,
        }
        return _event(_ENCODER.encode(self._members | {"choices": [], "usage": usage}))


def _event(data: bytes) -> bytes:
    """Return an event with a JSON text as its data, in which line ends can only stand between tokens."""
    return b"data: " + data.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n"
