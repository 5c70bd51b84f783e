"""The usage tracker stage: meters both streams without delaying them, and settles the hold exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from middlewares.exchange import Exchange
from middlewares.ledger.ledger import Ledger
from middlewares.usage_tracker.media_probe import MediaTools
from middlewares.usage_tracker.meters import Meter, meter_for
from middlewares.usage_tracker.meters.audio import AudioMeter
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
        media_meter = meter if isinstance(meter, AudioMeter) else None
        try:
            streams = _MeteredStreams(
                exchange, meter, receive, send, media_meter.request_complete if media_meter else None
            )
            await self.app(scope, streams.receive, streams.send)
            await asyncio.sleep(0)  # the end of the response leaves first
            if media_meter is not None:
                await media_meter.measured()
        finally:
            settle(self.ledger, exchange, meter, time.monotonic())
            if media_meter is not None:
                media_meter.close()


class _MeteredStreams:
    """Counts and meters the messages of one request as they pass; each is passed on unchanged."""

    __slots__ = ("_exchange", "_meter", "_receive", "_request_complete", "_send")

    def __init__(
        self,
        exchange: Exchange,
        meter: Meter,
        receive: Receive,
        send: Send,
        request_complete: Callable[[], None] | None,
    ) -> None:
        self._exchange = exchange
        self._request_complete = request_complete
        self._meter = meter
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        body = message.get("body")
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._exchange.body_passed = True
        if body:
            self._exchange.bytes_in += len(body)
            self._meter.request_body(body)
        if self._request_complete is not None and message["type"] == "http.request" and not message.get("more_body"):
            self._request_complete()
            self._request_complete = None
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._meter.response_start(message["status"], message["headers"])
        elif body := message.get("body"):
            self._meter.response_body(body)
        return self._send(message)
