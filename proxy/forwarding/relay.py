"""A gateway's response on its way to the client, part by part as it arrives."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Send

from config.routing import ResponseLimits
from middlewares.exchange import Exchange, Outcome
from proxy.forwarding.response_guard import FLOODED, ResponseGuard
from proxy.upstream import Response

EVENT_SLICE = 2_048
"""Bytes of an event stream in one go: each of its events, of few bytes maybe, is read on its way."""


async def relay(exchange: Exchange, response: Response, send: Send, limits: ResponseLimits) -> None:
    """Send a response to its end, or until it is over by `limits`, of which some raise `Refusal`."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    # Only now is the body looked at: a stage may take its time over the head, and more arrive meanwhile.
    if response.complete:
        await _send_last(send, response, response.buffered())
    else:
        guard = ResponseGuard(limits, response.headers, time.monotonic())
        # In a task of its own, or each part that arrives would wake every stage in turn.
        parts = asyncio.Task(_relay_parts(exchange, response, guard, send), name="response")
        try:
            await parts
        except asyncio.CancelledError:
            if parts.done() and not parts.cancelled():
                parts.result()  # raises what ended the response first
            raise
        finally:
            del parts  # which an error refers to in turn


async def _relay_parts(exchange: Exchange, response: Response, guard: ResponseGuard, send: Send) -> None:
    body = response.buffered()
    while not response.complete:
        if guard.flood_detected(body, time.monotonic()):
            exchange.end(Outcome.REFUSED, FLOODED)
            break
        if len(body) > EVENT_SLICE:
            body = await _send_slices(send, response, body)
        # Even an empty part: the head leaves with the first one, and a client may wait for it.
        await send({"type": "http.response.body", "body": body, "more_body": True})
        body = await response.chunk()
    await _send_last(send, response, body)
    exchange.relayed = True


async def _send_last(send: Send, response: Response, body: bytes) -> None:
    if len(body) > EVENT_SLICE:
        body = await _send_slices(send, response, body)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_slices(send: Send, response: Response, body: bytes) -> bytes:
    """Send all of a long part but its last slice, which is returned; a part that is none of events comes back whole."""
    if not _is_event_stream(response):
        return body
    last = len(body) - EVENT_SLICE
    for start in range(0, last, EVENT_SLICE):
        await send({"type": "http.response.body", "body": body[start : start + EVENT_SLICE], "more_body": True})
        await asyncio.sleep(0)
    return body[-(-last // EVENT_SLICE) * EVENT_SLICE :]


def _is_event_stream(response: Response) -> bool:
    return any(name == b"content-type" and b"event-stream" in value.lower() for name, value in response.headers)
