"""How a request ended is recorded once, by whoever was nearest to it, and is the same in log, metrics and event."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from starlette.types import Receive, Send

from config.workloads import Unit
from middlewares.exchange import COMPLETE, Ending, Exchange, Outcome, Refusal
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.settlement import gateway_failed
from tests.response.server_fixture import responding, serving

PRODUCT = Path(__file__).parents[2]
OWNERS = {
    "ending": {"middlewares/exchange.py"},
    "client_status": {"middlewares/response/client_response.py"},
    "gateway_status": {"proxy/forwarding/forwarder.py"},
}
"""Attributes of the exchange that hold how it ended, and the one module that may assign each."""

Inner = Callable[[Exchange, Receive, Send], Awaitable[None]]


RECORDS = {"line", "event"}
"""Names of log line and usage event where they are filled: they repeat what the exchange says."""


def written_attributes(source: str) -> Iterator[str]:
    """Yield the name of every attribute that `source` assigns, once per assignment, but for those of records."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
            continue
        if not (isinstance(node.value, ast.Name) and node.value.id in RECORDS):
            yield node.attr


@pytest.mark.parametrize("attribute", OWNERS)
def test_one_place_writes_it(attribute: str) -> None:
    places = [
        path.relative_to(PRODUCT).as_posix()
        for room in ("middlewares", "proxy")
        for path in (PRODUCT / room).rglob("*.py")
        if attribute in (source := path.read_text())  # parsing all of them takes a second
        for name in written_attributes(source)
        if name == attribute
    ]
    assert len(places) == 1
    assert set(places) == OWNERS[attribute]


def test_an_exchange_that_nobody_ended_is_complete() -> None:
    assert Exchange("r", 0.0, "GET", "/").ending == COMPLETE == Ending(Outcome.COMPLETE, "", 0)


def test_the_first_ending_wins() -> None:
    exchange = Exchange("r", 0.0, "GET", "/")
    exchange.end(Outcome.CLIENT_DISCONNECT, "client_disconnect")
    exchange.end(Outcome.INTERNAL_ERROR, "internal_error", 500)
    assert exchange.ending == Ending(Outcome.CLIENT_DISCONNECT, "client_disconnect", 0)


def ended_by_forwarder(outcome: Outcome, code: str, status: int, raised: BaseException | None) -> Inner:
    """Return an application that ends the exchange as the forwarder does, and then raises `raised`."""

    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        exchange.forwarded = True
        exchange.end(outcome, code, status)
        if raised is not None:
            raise raised
        await responding(200, body=b"x")(exchange, receive, send)

    return inner


def raised_by_stage(error: BaseException) -> Inner:
    """Return an application that fails before anything is forwarded."""

    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        raise error

    return inner


DROPPED = Refusal(502, "gateway_dropped", "The gateway closed the connection without a response.")
TABLE: dict[str, tuple[Inner, tuple[int, str, str | None]]] = {
    "complete": (responding(200, body=b"x"), (200, "complete", None)),
    "gateway refuses": (responding(404, body=b"x"), (404, "complete", None)),
    "edge, auth or limits refuse": (
        raised_by_stage(Refusal(429, "rate_limited", "Too many.")),
        (429, "refused", "rate_limited"),
    ),
    "a stage breaks": (raised_by_stage(KeyError("a bug")), (500, "internal_error", "internal_error")),
    "the worker stops before forwarding": (
        raised_by_stage(asyncio.CancelledError()),
        (503, "refused", "gate_shutdown"),
    ),
    "the gateway drops": (
        ended_by_forwarder(Outcome.UPSTREAM_ERROR, "gateway_dropped", 502, DROPPED),
        (502, "upstream_error", "gateway_dropped"),
    ),
    "no gateway is reached": (
        ended_by_forwarder(
            Outcome.UPSTREAM_ERROR, "gateway_unreachable", 502, Refusal(502, "gateway_unreachable", "None.")
        ),
        (502, "upstream_error", "gateway_unreachable"),
    ),
    "the body is too large": (
        ended_by_forwarder(Outcome.REFUSED, "body_too_large", 413, Refusal(413, "body_too_large", "Too large.")),
        (413, "refused", "body_too_large"),
    ),
    "the forwarder breaks": (
        ended_by_forwarder(Outcome.INTERNAL_ERROR, "internal_error", 500, KeyError("a bug")),
        (500, "internal_error", "internal_error"),
    ),
    "the worker stops while forwarding": (
        ended_by_forwarder(Outcome.GATE_SHUTDOWN, "gate_shutdown", 503, asyncio.CancelledError()),
        (503, "gate_shutdown", "gate_shutdown"),
    ),
    "the response floods": (
        ended_by_forwarder(Outcome.REFUSED, "answer_flooded", 0, None),
        (200, "refused", "answer_flooded"),
    ),
    "the meter finds no work": (ended_by_forwarder(Outcome.UPSTREAM_ERROR, "", 0, None), (200, "upstream_error", None)),
    "the client leaves and the response goes on": (
        ended_by_forwarder(Outcome.CLIENT_DISCONNECT, "client_disconnect", 0, None),
        (200, "client_disconnect", "client_disconnect"),
    ),
}
"""Outcome by stage: an application, and status, outcome and error of its log line."""


@pytest.mark.parametrize("case", TABLE)
async def test_outcome_by_stage(case: str, tmp_path: Path) -> None:
    inner, (status, outcome, error) = TABLE[case]
    async with serving(inner, tmp_path) as server:
        response = await server.request()
        (line,) = await server.lines()
    assert response.status_code == status
    assert (line["status"], line["outcome"], line["error"]) == (status, outcome, error)
    labels = {"route": "none", "status": str(status), "outcome": outcome}
    assert server.sample("tollgate_requests_total", **labels) == 1


def test_every_outcome_of_a_request_is_in_the_table() -> None:
    covered = {outcome for _, (_, outcome, _) in TABLE.values()}
    assert covered == {outcome.value for outcome in Outcome} - {Outcome.ORPHANED.value}


WORK = Usage({Unit.REQUESTS: 1}, {Unit.REQUESTS: Provenance.MEASURED}, complete=True)


@pytest.mark.parametrize(
    ("gateway", "client", "usage", "verdict"),
    [
        (200, 200, WORK, False),
        (200, 200, Usage(complete=False), True),
        (200, 0, WORK, False),
        (404, 404, Usage(complete=False), False),
        (500, 500, WORK, True),
        (999, 502, WORK, True),
        (101, 502, WORK, True),
        (0, 0, Usage(complete=False), True),
    ],
)
def test_a_status_is_no_proof_of_work(gateway: int, client: int, usage: Usage, verdict: bool) -> None:
    exchange = Exchange("r", 0.0, "GET", "/", gateway_status=gateway, client_status=client)
    assert gateway_failed(exchange, usage) is verdict
