"""Responses that would never end: when Tollgate ends them (gateway contract sections 1.7 and 9). Pure."""

from __future__ import annotations

from config.routing import ResponseLimits
from middlewares.exchange import Headers, Refusal

FLOODED = "answer_flooded"
TOO_LONG = "answer_too_long"


class ResponseGuard:
    """Watches the parts of one response pass. Times are seconds of `time.monotonic`."""

    __slots__ = ("_blank_lines", "_bytes", "_deadline", "_max_blank_lines", "_max_bytes")

    def __init__(self, limits: ResponseLimits, headers: Headers, now: float) -> None:
        self._max_bytes = limits.bytes
        self._deadline = now + limits.seconds
        self._bytes = 0
        self._blank_lines = 0
        streams = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
        self._max_blank_lines = limits.empty_lines if streams else None

    def flood_detected(self, part: bytes, now: float) -> bool:
        """Return True if nothing but line ends has come for so long that this event stream is over.

        A BYOC gateway writes them without end once its worker has ended a stream without `[DONE]`: the response is
        complete. Raises `Refusal` (502) for a response that is longer than it may be, which is not complete.
        """
        self._bytes += len(part)
        max_bytes = self._max_bytes
        if now > self._deadline or (max_bytes is not None and self._bytes > max_bytes):
            raise Refusal(502, TOO_LONG, "The response is longer than Tollgate lets it be.")
        if self._max_blank_lines is None:
            return False
        text = part.rstrip(b"\r\n")
        self._blank_lines = part.count(b"\n", len(text)) + (0 if text else self._blank_lines)
        return self._blank_lines > self._max_blank_lines
