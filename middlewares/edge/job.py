"""Reading the `Livepeer` header of BYOC requests (gateway contract sections 1.7 and 3). Pure.

A client may choose capability, request, parameters and a timeout. Orchestrators, sender, signature, worker URL and job
id are not its choice; the header for the gateway is written anew, from a `Job` and the tier's configuration.
"""

import base64
from dataclasses import replace
from typing import Any

import msgspec

from config.workloads import Unit
from middlewares.client_text import check_length
from middlewares.exchange import Declaration, Exchange, Job, Refusal
from middlewares.json_codec import decode_as_go, nested_too_deeply
from middlewares.ledger.sessions.session import STREAM_TICK_MS
from middlewares.routing.route import Route
from middlewares.routing.traits import Measure, StreamStep

_SEARCH_SECONDS = 5
"""What the gateway adds to the job's timeout when it calls an orchestrator."""


class _JobHeader(msgspec.Struct):
    """The members of the header that a client may choose."""

    capability: str
    timeout_seconds: int
    request: str = "{}"
    parameters: str = "{}"


_HEADER = msgspec.json.Decoder(_JobHeader)
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def read_job(header: bytes, max_seconds: int) -> Job:
    """Return the job in a header, base64 of a JSON object; its timeout is cut to `max_seconds`.

    Raises `Refusal` (400) that says what is wrong: `malformed_job`, or `invalid_parameter` for too long a capability.
    """
    try:
        text = base64.b64decode(header, validate=True)
    except ValueError:
        raise _malformed("it is not base64 (standard alphabet, padded)") from None
    try:
        read = decode_as_go(_HEADER, text)
        if any(nested_too_deeply(each.encode(errors="replace")) for each in (read.request, read.parameters)):
            raise _malformed("its `request` or its `parameters` is nested too deeply")
        decode_as_go(_OBJECT, read.request)
        parameters = decode_as_go(_OBJECT, read.parameters)
    except msgspec.ValidationError as error:
        raise _malformed(f"{error}; `request` and `parameters` are JSON objects, written as strings") from None
    except (ValueError, RecursionError):  # members that nobody reads may be nested
        raise _malformed("it, its `request` or its `parameters` is not valid JSON") from None
    if not read.capability:
        raise _malformed("`capability` is empty")
    check_length("capability", read.capability)
    if read.timeout_seconds < 1:
        raise _malformed("`timeout_seconds` must be a whole number from 1")
    parameters = {name: value for name, value in parameters.items() if name.casefold() != "orchestrators"}
    return Job(read.capability, read.request, parameters, min(read.timeout_seconds, max_seconds))


class JobHeader:
    """The `Livepeer` header of a BYOC request, whose capability is its model. It needs a known principal."""

    __slots__ = ("_exchange", "_header", "_route")

    def __init__(self, exchange: Exchange, route: Route, header: bytes) -> None:
        self._exchange = exchange
        self._route = route
        self._header = header

    async def declare(self) -> Declaration:
        """Return what the job declares. Raises `Refusal` (400)."""
        principal = self._exchange.principal
        assert principal is not None  # noqa: S101 - jobs of unknown callers are not read
        self._exchange.job = job = read_job(self._header, principal.plan.byoc_timeout_seconds)
        return Declaration(job.capability, _reserved_units(self._route, job))

    async def declare_model(self, model: str) -> Declaration:
        """Return what the job declares with that capability in place of its own. `declare` came first."""
        assert self._exchange.job is not None  # noqa: S101 - read by `declare`
        self._exchange.job = job = replace(self._exchange.job, capability=model)
        return Declaration(job.capability, _reserved_units(self._route, job))


def _reserved_units(route: Route, job: Job) -> dict[Unit, int]:
    """Return the time to reserve for the job: what a gateway gives a request, or one tick of a stream."""
    if route.meter is Measure.WALL_TIME:
        return {Unit.MILLISECONDS: (job.timeout_seconds + _SEARCH_SECONDS) * 1000}
    return {Unit.MILLISECONDS: STREAM_TICK_MS} if route.stream is StreamStep.START else {}


def _malformed(what: str) -> Refusal:
    return Refusal(400, "malformed_job", f"The `Livepeer` header must describe the job: {what}.")
