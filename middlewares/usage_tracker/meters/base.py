"""The `Meter` protocol, and what meters share.

A meter is fed one exchange as it passes and reports its usage at the end. It is a pure state machine: it neither delays
nor changes a byte, keeps a bounded amount of memory, and takes whatever a client or a gateway sends without raising.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.probed_bodies import ProbedBodies

RESPONSE_BYTES = 1024 * 1024
"""Most bytes of a response that a meter keeps. JSON responses of a gateway are a few KiB: they link to media."""


class Meter(Protocol):
    """Measures one exchange. Called in the order of events; `usage` may be called at any point."""

    @property
    def media(self) -> ProbedBodies | None:
        """The bodies that it wants measured outside the worker before `usage` is final; None: it wants none."""
        ...

    def request_body(self, chunk: bytes) -> None:
        """Take a chunk of the request's body, on its way to the gateway."""
        ...

    def request_end(self) -> None:
        """Learn that the last byte of the request's body has passed. May be called more than once."""
        ...

    def response_start(self, status: int, headers: Headers) -> None:
        """Take the head of the gateway's response."""
        ...

    def response_body(self, chunk: bytes) -> None:
        """Take a chunk of the response's body, on its way to the client."""
        ...

    def usage(self) -> Usage:
        """Return what the exchange used, as far as it went."""
        ...


class WithoutMedia:
    """The part of a meter that wants nothing measured outside the worker, and does nothing at the request's end."""

    __slots__ = ()

    media: ProbedBodies | None = None

    def request_end(self) -> None:
        """Need nothing at the end of the request."""


class KeptResponse:
    """A response body, kept as it passes while it is readable: not encoded, and at most `RESPONSE_BYTES` long."""

    __slots__ = ("readable", "size", "text")

    def __init__(self, headers: Headers) -> None:
        self.size = 0
        self.text = bytearray()
        """Everything that passed; empty unless `readable`."""
        self.readable = header(headers, b"content-encoding") in (b"", b"identity")

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if not self.readable:
            return
        if self.size > RESPONSE_BYTES:
            self.readable = False
            self.text = bytearray()
        else:
            self.text += chunk


class ResponseKeeper(WithoutMedia):
    """The part of a meter that keeps the body of a 200, which alone shows whether the work succeeded."""

    __slots__ = ("_body",)

    def __init__(self) -> None:
        self._body: KeptResponse | None = None

    def response_start(self, status: int, headers: Headers) -> None:
        self._body = KeptResponse(headers) if status == 200 else None

    def response_body(self, chunk: bytes) -> None:
        if self._body is not None:
            self._body.add(chunk)

    def results(self, count: Callable[[bytearray], int], requested: int) -> tuple[int, Provenance]:
        """Return the number of results in the response; 0: it is a failure.

        A response that cannot be read, being encoded or too long to keep, has as many as were requested.
        """
        body = self._body
        if body is None or not body.size:
            return 0, Provenance.UPSTREAM
        return (count(body.text), Provenance.UPSTREAM) if body.readable else (requested, Provenance.DECLARED)


def header(headers: Headers, name: bytes) -> bytes:
    """Return the first value of a header, in lower case; empty if it is not sent."""
    for key, value in headers:
        if key == name:
            return value.strip().lower()
    return b""


def metered(
    units: dict[Unit, int],
    provenance: dict[Unit, Provenance],
    *,
    complete: bool,
    finish_reason: str = "",
    network: dict[Unit, int] | None = None,
    attention: bool = False,
) -> Usage:
    """Return usage with its request counted; `network` and `attention` are as in `Usage`.

    `Unit.REQUESTS` is 1 for complete work and absent for all other, so that a plan that sells requests sells successes.
    """
    if complete:
        units[Unit.REQUESTS] = 1
        provenance[Unit.REQUESTS] = Provenance.MEASURED
    return Usage(units, provenance, complete, finish_reason, attention, network or {})
