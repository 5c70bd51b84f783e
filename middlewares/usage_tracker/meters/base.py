"""What every meter is, and what they share.

A meter watches one exchange go by and says at its end what was used. It is a pure state machine: it neither delays
nor changes a byte, keeps a bounded amount of memory, and takes whatever a client or a gateway sends without raising.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage

RESPONSE_BYTES = 1024 * 1024
"""The longest answer a meter keeps. JSON answers of a gateway are a few KiB: media are linked, not enclosed."""

TOKENS_CEILING = 2**53
"""A count beyond it cannot be meant, and would not survive arithmetic in Redis."""

# Bound once: before Python 3.12, naming a member of an enum costs as much as a call.
_REQUESTS = Unit.REQUESTS
_MEASURED, _UPSTREAM, _DECLARED = Provenance.MEASURED, Provenance.UPSTREAM, Provenance.DECLARED


class Meter(Protocol):
    """Fed in the order things happen; `usage` may be asked at any point, for exchanges end anywhere."""

    def request(self, chunk: bytes) -> None:
        """A chunk of the request's body, on its way to the gateway."""
        ...

    def response(self, status: int, headers: Headers) -> None:
        """The head of the gateway's answer."""
        ...

    def answer(self, chunk: bytes) -> None:
        """A chunk of the answer's body, on its way to the client."""
        ...

    def usage(self) -> Usage:
        """What the exchange used, as far as it went."""
        ...


class Body:
    """An answer's body, kept as it passes for as long as it is readable: plain, and at most `RESPONSE_BYTES` long."""

    __slots__ = ("readable", "size", "text")

    def __init__(self, headers: Headers) -> None:
        self.size = 0
        self.text = bytearray()
        """Everything that passed; empty unless `readable`."""
        self.readable = field(headers, b"content-encoding") in (b"", b"identity")

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if not self.readable:
            return
        if self.size > RESPONSE_BYTES:
            self.readable = False
            self.text = bytearray()
        else:
            self.text += chunk


class ResponseKeeper:
    """The part of a meter that keeps the answer of a 200, whose success shows only in what it says."""

    __slots__ = ("_body",)

    def __init__(self) -> None:
        self._body: Body | None = None

    def response(self, status: int, headers: Headers) -> None:
        self._body = Body(headers) if status == 200 else None

    def answer(self, chunk: bytes) -> None:
        if self._body is not None:
            self._body.add(chunk)

    def results(self, count: Callable[[bytearray], int], asked: int) -> tuple[int, Provenance]:
        """How many results the answer has; 0: it is no success.

        An answer that cannot be read, being encoded or too long to keep, has as many as were asked for.
        """
        body = self._body
        if body is None or not body.size:
            return 0, _UPSTREAM
        return (count(body.text), _UPSTREAM) if body.readable else (asked, _DECLARED)


def field(headers: Headers, name: bytes) -> bytes:
    """The first value of a header field in lower case; empty where it is not sent."""
    for key, value in headers:
        if key == name:
            return value.strip().lower()
    return b""


def metered(
    units: dict[Unit, int], provenance: dict[Unit, Provenance], *, complete: bool, finish_reason: str = ""
) -> Usage:
    """Usage with its request counted.

    `Unit.REQUESTS` is 1 for complete work and absent for all other, so that a plan that sells requests sells successes.
    """
    if complete:
        units[_REQUESTS] = 1
        provenance[_REQUESTS] = _MEASURED
    return Usage(units, provenance, complete, finish_reason)
