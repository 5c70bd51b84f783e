"""Logs on standard error, one JSON object a line: the line of each request, and everything else the program says."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

import msgspec
import structlog

from config.runtime import Log
from config.workloads import Unit
from middlewares.exchange import Exchange
from middlewares.response.encode import to_json
from middlewares.response.redaction import mask, redact

PATH_CHARACTERS = 300
NAME_CHARACTERS = 100
"""What clients choose is cut, so that a line stays below 4096 bytes (PIPE_BUF) and workers' lines never mix."""

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RequestLine(msgspec.Struct):
    """Everything the log says about one request. Neither query, header fields nor bodies: they may hold secrets."""

    timestamp: datetime
    level: str
    event: str
    request_id: str
    method: str
    path: str
    route: str | None
    status: int
    outcome: str
    error: str | None
    app: str | None
    user: str | None
    key: str | None
    """The key's id."""
    plan: str | None
    tier: str | None
    pool: str | None
    gateway: str | None
    workload: str | None
    model: str | None
    units: dict[Unit, int]
    amount: str
    """Atomic units of the deployment's currency, as a decimal string."""
    bytes_in: int
    bytes_out: int
    duration_ms: float
    upstream_ms: float | None
    """From the request sent to the head of the gateway's answer."""
    client: str


class RequestLog:
    """Writes the line of each request with one system call."""

    __slots__ = ("_fd", "_threshold")

    def __init__(self, config: Log, *, fd: int = 2) -> None:
        self._threshold = _LEVELS[config.level] if config.requests else sys.maxsize
        self._fd = fd

    def write(self, exchange: Exchange, *, outcome: str, seconds: float) -> None:
        """Log a finished request. A server error is a warning; a log that cannot be written to fails no request."""
        level = "warning" if exchange.status >= 500 else "info"
        if _LEVELS[level] < self._threshold:
            return
        line = to_json(_line(exchange, level, outcome, seconds))
        told = f"{exchange.method} {exchange.path} {exchange.declared.model} {exchange.error}"
        if "eyJ" in told or "tg" in told:  # only clients' words may hold a credential, and few of them look like it
            line = mask(line.decode()).encode()
        try:
            os.write(self._fd, line + b"\n")
        except OSError:
            return


def _line(exchange: Exchange, level: str, outcome: str, seconds: float) -> RequestLine:
    route, principal, upstream = exchange.route, exchange.principal, exchange.upstream_seconds
    return RequestLine(
        timestamp=datetime.now(UTC),
        level=level,
        event="request",
        request_id=exchange.request_id,
        method=exchange.method,
        path=exchange.path[:PATH_CHARACTERS],
        route=route.name if route else None,
        status=exchange.status,
        outcome=outcome,
        error=exchange.error or None,
        app=principal.app if principal else None,
        user=_name(principal.user) if principal else None,
        key=principal.key if principal else None,
        plan=principal.plan_name if principal else None,
        tier=exchange.tier or None,
        pool=exchange.pool or None,
        gateway=exchange.gateway or None,
        workload=route.workload if route else None,
        model=_name(exchange.declared.model),
        units=dict(exchange.units),
        amount=str(exchange.amount),
        bytes_in=exchange.bytes_in,
        bytes_out=exchange.bytes_out,
        duration_ms=_milliseconds(seconds),
        upstream_ms=None if upstream is None else _milliseconds(upstream),
        client=exchange.client_address,
    )


def _milliseconds(seconds: float) -> float:
    """To the microsecond; rounding would cost as much as all the rest of a line's numbers."""
    return int(seconds * 1e6) / 1000


def _name(text: str | None) -> str | None:
    return text and text[:NAME_CHARACTERS]


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
