"""Logs on standard error, one JSON object a line: one for each request, and one for every other log event."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
import structlog

from config.runtime import Log
from config.workloads import Unit
from middlewares.exchange import Exchange
from middlewares.json_codec import to_json
from middlewares.response.redaction import mask, redact

PIPE_BUF = 4096
"""Bytes that are written to a pipe atomically (POSIX), so that the lines of several workers never mix."""
PATH_CHARACTERS = 300
NAME_CHARACTERS = 100
"""What clients choose is cut, so that a line stays below `PIPE_BUF`."""

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RequestLine(msgspec.Struct):
    """The log line of one request. It has neither query, headers nor bodies: they may hold secrets.

    What is not known, because the request did not come so far, is null.
    """

    timestamp: datetime
    level: str
    event: str
    request_id: str
    method: str
    path: str
    route: str | None = None
    status: int = 0
    """What the client was sent; 499: nothing."""
    gateway_status: int | None = None
    outcome: str = ""
    error: str | None = None
    app: str | None = None
    user: str | None = None
    key: str | None = None
    """The key's id."""
    plan: str | None = None
    tier: str | None = None
    pool: str | None = None
    gateway: str | None = None
    workload: str | None = None
    model: str | None = None
    units: Mapping[Unit, int] = {}
    amount: str = "0"
    """Atomic units of the deployment's currency, as a decimal string."""
    bytes_in: int = 0
    bytes_out: int = 0
    duration_ms: float = 0.0
    upstream_ms: float | None = None
    """From the request sent to the head of the gateway's response."""
    client: str = ""
    fallback: str | None = None
    """Policy of the limit in whose stead a fallback of the plan served the request."""
    replay_of: str | None = None
    """Id of the request whose kept response was sent to this repetition."""


def _call_now(callback: Callable[[], None]) -> None:
    callback()


class RequestLog:
    """Writes a line for each request; lines of one iteration of the event loop are written together."""

    __slots__ = ("_ended", "_fd", "_soon", "_threshold")

    def __init__(self, config: Log, *, fd: int = 2, soon: Callable[[Callable[[], None]], object] = _call_now) -> None:
        """Take `soon`, which calls back in the next iteration of the event loop, as `loop.call_soon` does."""
        self._threshold = _LEVELS[config.level] if config.requests else sys.maxsize
        self._fd = fd
        self._soon = soon
        self._ended: list[tuple[Exchange, str, float]] = []

    def write(self, exchange: Exchange, *, seconds: float) -> None:
        """Log a finished request. A server error is a warning; a log that cannot be written to fails no request."""
        level = "warning" if exchange.client_status >= 500 else "info"
        if _LEVELS[level] < self._threshold:
            return
        self._ended.append((exchange, level, seconds))
        if len(self._ended) == 1:
            self._soon(self._flush)

    def _flush(self) -> None:
        ended, self._ended = self._ended, []  # first: a line that fails must not stop all after it
        now = datetime.now(UTC)
        lines = b""
        for exchange, level, seconds in ended:
            line = _line(exchange, level, seconds, now)
            if len(lines) + len(line) > PIPE_BUF:
                self._write_lines(lines)
                lines = b""
            lines += line
        self._write_lines(lines)

    def _write_lines(self, lines: bytes) -> None:
        try:
            os.write(self._fd, lines)
        except OSError:
            return


def shown_path(exchange: Exchange) -> str:
    """Return the path as a log may have it: what a client invented, and is no target of ours, only by its length.

    It may be anybody's secret, of a shape that no pattern knows. Below a control surface, what is not found is such.
    """
    path = exchange.path
    if exchange.route is not None or (exchange.surface and exchange.client_status != 404):
        return path
    known = exchange.surface_path if path.startswith(exchange.surface_path) else ""
    return f"{known}[{len(path) - len(known)} characters]"


def _line(exchange: Exchange, level: str, seconds: float, now: datetime) -> bytes:
    method, path, model, ending = exchange.method, exchange.path, exchange.declared.model, exchange.ending
    principal, route, upstream = exchange.principal, exchange.route, exchange.upstream_seconds
    # In parts, for a call with more than fifteen keywords is built as a dictionary first, at twice the price.
    line = RequestLine(
        timestamp=now,
        level=level,
        event="request",
        request_id=exchange.request_id,
        method=method,
        path=shown_path(exchange)[:PATH_CHARACTERS],
        status=exchange.client_status,
        outcome=ending.outcome,
        units=exchange.units,
        amount=str(exchange.amount),
        bytes_in=exchange.bytes_in,
        bytes_out=exchange.bytes_out,
        duration_ms=int(seconds * 1e6) / 1000,  # to the microsecond, at a fraction of what rounding costs
        client=exchange.client_address,
    )
    user = None
    if principal is not None:
        line.app, line.key, line.plan, user = principal.app, principal.key, principal.plan_name, principal.user
        line.user = user and user[:NAME_CHARACTERS]
    if route is not None:
        line.route, line.workload, line.model = route.name, route.workload, model and model[:NAME_CHARACTERS]
    elif exchange.surface:
        line.route = exchange.surface
    if exchange.tier:
        line.tier, line.pool, line.gateway = exchange.tier, exchange.pool or None, exchange.gateway or None
    if upstream is not None:
        line.gateway_status, line.upstream_ms = exchange.gateway_status, int(upstream * 1e6) / 1000
    if ending.code:
        line.error = ending.code
    if exchange.fallback is not None:
        line.fallback = exchange.fallback.denied.limit_state.policy
    if exchange.idempotent is not None and exchange.idempotent.replay_of:
        line.replay_of = exchange.idempotent.replay_of
    encoded = to_json(line)
    client_text = f"{method} {path} {model} {ending.code} {user}"
    if "eyJ" in client_text or "tg" in client_text:  # a credential can only stand in text that a client chose
        encoded = mask(encoded.decode()).encode()
    return encoded + b"\n"


def configure_logging(level: str) -> None:
    """Send everything that structlog and the standard library log, from `level` up, to standard error.

    `level` is one of `config.runtime.Log`. Values under a secret's name and texts that look like credentials are
    replaced on the way out, in tracebacks as well. Calling it again replaces the former configuration.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    logging.captureWarnings(capture=True)


def _render(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    ordered = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return mask(json.dumps(redact({**ordered, **event}), default=repr))
