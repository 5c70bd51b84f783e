"""Answers that would never end: when the gate ends them (gateway contract sections 1.7 and 9). Pure."""

from __future__ import annotations

from config.routing import ResponseLimits
from middlewares.exchange import Headers, Refusal

FLOODED = "answer_flooded"
TOO_LONG = "answer_too_long"


class ResponseGuard:
    """Watches the pieces of one answer pass. Times are seconds of `time.monotonic`."""

    __slots__ = ("_blank", "_bytes", "_most", "_most_blank", "_until")

    def __init__(self, limits: ResponseLimits, headers: Headers, now: float) -> None:
        self._most = limits.bytes
        self._until = now + limits.seconds
        self._bytes = 0
        self._blank = 0
        streams = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
        self._most_blank = limits.empty_lines if streams else None

    def flood_detected(self, piece: bytes, now: float) -> bool:
        """Whether nothing but line ends has come for so long that this stream is over.

        A BYOC gateway writes them without end once its worker has ended a stream without `[DONE]`: the answer is
        whole. Raises `Refusal` for an answer that is longer than it may be, which is not.
        """
        self._bytes += len(piece)
        most = self._most
        if now > self._until or (most is not None and self._bytes > most):
            raise Refusal(502, TOO_LONG, "The answer is longer than the gate lets it be.")
        if self._most_blank is None:
            return False
        text = piece.rstrip(b"\r\n")
        self._blank = piece.count(b"\n", len(text)) + (0 if text else self._blank)
        return self._blank > self._most_blank
