"""What a request with an `Idempotency-Key` carries beside its exchange; requests without one have none of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import Message, Receive

if TYPE_CHECKING:
    from middlewares.ledger.model import HoldEntry

HEADER = b"idempotency-key"


@dataclass(slots=True)
class IdempotentRequest:
    """One request whose repetitions are to be recognised."""

    header: bytes
    """Value of `Idempotency-Key` as it was sent."""
    fingerprint: RequestFingerprint
    claim: HoldEntry | None = None
    """The claim to its key, until a hold takes it over, which ends it; None: it has none."""
    record: Callable[[Message], None] | None = None
    """Called with each message of the response, in the form that the client gets but for Tollgate's own headers."""
    replay_of: str = ""
    """Id of the request whose kept response is sent; empty: its response is its own."""


class RequestFingerprint:
    """SHA-256 of what a request asks for, made as its body passes; two requests that ask for the same have the same.

    A form's boundary is not part of it: clients make up a new one for each attempt.
    """

    __slots__ = ("_boundary", "_complete", "_hash", "_tail")

    def __init__(self, target: bytes, job: bytes = b"", boundary: bytes = b"") -> None:
        """`target` is that at the gateway, `job` the header of a BYOC request, `boundary` that of a form."""
        self._hash = hashlib.sha256(b"%d %b %d %b " % (len(target), target, len(job), job))
        self._boundary = boundary
        self._tail = b""
        """What may be the beginning of a boundary."""
        self._complete = False

    @property
    def value(self) -> bytes:
        """The digest, 32 bytes; empty as long as the body has not passed to its end."""
        return self._hash.digest() if self._complete else b""

    def update(self, chunk: bytes, *, more: bool) -> None:
        """Take the next part of the body."""
        if self._boundary:
            *parts, rest = (self._tail + chunk).split(self._boundary)
            self._hash.update(b"".join(parts))
            kept = len(rest) if not more else max(0, len(rest) - len(self._boundary) + 1)
            chunk, self._tail = rest[:kept], rest[kept:]
        self._hash.update(chunk)
        self._complete = not more

    def passing(self, receive: Receive) -> Receive:
        """Return a `receive` whose messages are taken as they pass."""

        async def receive_observed() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self.update(message.get("body", b""), more=message.get("more_body", False))
            return message

        return receive_observed
