"""The usage tracker stage: meters both streams without delaying them, and settles the hold exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from middlewares.exchange import Exchange
from middlewares.ledger.ledger import Ledger
from middlewares.usage_tracker.media_probe import MediaTools
from middlewares.usage_tracker.meters import Meter, meter_for
from middlewares.usage_tracker.settlement import settle


class UsageTrackerMiddleware:
    """Meters a request as it passes, prices its usage, and settles it with the ledger."""

    def __init__(self, app: ASGIApp, *, ledger: Ledger, media: MediaTools | None = None) -> None:
        self.app = app
        self.ledger = ledger
        self.media = media

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with metered streams; settle in every case, also when this task is cancelled."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        meter = meter_for(exchange, self.media)
        media = meter.media
        try:
            streams = _MeteredStreams(exchange, meter, receive, send)
            await self.app(scope, streams.receive, streams.send)
            if not exchange.relayed:
                await asyncio.sleep(0)  # the end of the response leaves first
            if media is not None and media.measuring:
                for hold in (exchange.entry, exchange.hold):
                    if hold is not None:
                        self.ledger.release_leases(hold)  # its client may ask for more before it is measured
                await media.measured()
        finally:
            settle(self.ledger, exchange, meter, time.monotonic())
            if media is not None:
                media.close()


class _MeteredStreams:
    """Counts and meters the messages of one request as they pass; each is passed on unchanged."""

    __slots__ = ("_exchange", "_meter", "_receive", "_send")

    def __init__(self, exchange: Exchange, meter: Meter, receive: Receive, send: Send) -> None:
        self._exchange = exchange
        self._meter = meter
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        if body := message.get("body"):
            self._exchange.bytes_in += len(body)
            self._meter.request_body(body)
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._exchange.body_passed = True
            self._meter.request_end()
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._meter.response_start(message["status"], message["headers"])
        elif body := message.get("body"):
            self._meter.response_body(body)
        return self._send(message)
