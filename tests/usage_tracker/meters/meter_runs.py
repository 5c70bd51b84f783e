"""Runs of meters over exchanges, and strategies for cutting bodies into chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from config.plans import Plan
from config.workloads import Workload
from middlewares.exchange import Declaration, Exchange, Headers, Principal
from middlewares.ledger.model import Usage
from middlewares.routes import ROUTES
from middlewares.routing.route import Route
from middlewares.usage_tracker.meters import Meter, meter_for

PRINCIPAL = Principal("app", None, None, "plan", Plan())
JSON: Headers = [(b"content-type", b"application/json")]
EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]


def route_of(workload: Workload) -> Route:
    """Return the route that does a workload's work; of a workload without work, its first one."""
    routes = [route for route in ROUTES if route.workload is workload]
    return next((route for route in routes if route.begins_work), routes[0])


def exchange(route: Route, declared: Declaration | None = None, headers: Headers | None = None) -> Exchange:
    """Return an exchange that was admitted to this route."""
    return Exchange(
        "id",
        0.0,
        "POST",
        "/",
        route=route,
        principal=PRINCIPAL,
        declared=declared or Declaration(),
        headers=headers or [],
    )


def meter(workload: Workload, declared: Declaration | None = None, headers: Headers | None = None) -> Meter:
    """A meter of the workload's main route."""
    return meter_for(exchange(route_of(workload), declared, headers))


def usage(
    workload: Workload,
    chunks: Iterable[bytes],
    *,
    status: int = 200,
    headers: Headers = JSON,
    declared: Declaration | None = None,
) -> Usage:
    """Return the usage by the meter after one response in these chunks."""
    fed = meter(workload, declared)
    fed.request_body(b"{}")
    fed.response_start(status, headers)
    for chunk in chunks:
        fed.response_body(chunk)
    return fed.usage()


def event(
    text: str | None = None, *, prompt: int | None = None, completion: int | None = None, finish: str = ""
) -> bytes:
    """Return one chunk of a chat completion as a gateway writes it (gateway contract section 1.2)."""
    document: dict[str, Any] = {
        "choices": [{"delta": {"content": text or "", "role": "assistant"}, "finish_reason": finish, "index": 0}]
    }
    if prompt is not None or completion is not None:
        document["usage"] = {"completion_tokens": completion or 0, "prompt_tokens": prompt or 0}
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


@st.composite
def cuts(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """Draw cuts of the body into pieces, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=12)))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
