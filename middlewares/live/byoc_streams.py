"""BYOC streams: paid for by the time from their start to their stop.

No heartbeat reports them (gateway contract section 5.3), so Tollgate keeps the time itself. A successful start opens a
session in Redis, which takes over the hold of the request. Any worker ticks it: a tick charges the time since the one
before and reserves the next. Stop charges the rest to the millisecond, at any worker and also after a restart; a
gateway that does not know the stream any more (404) has stopped it as well. Each step is one conditional script, so
nothing is charged twice.

A stream that is never stopped is charged until its balance, its caps or `byoc_stream_seconds` of its plan are used up;
then it is stopped at its gateway. Time between ticks that are more than `GAP_MS` apart is not charged.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Message, Send

from config.workloads import Workload
from middlewares.exchange import Exchange, Refusal
from middlewares.json_codec import decode
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Denied, Settlement, Usage
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import STREAMS
from middlewares.ledger.sessions.session import STREAM_TICK_MS
from middlewares.ledger.sessions.sessions import Found, Sessions
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.settlement.request_event import event_of
from middlewares.ledger.settlement.settler import SETTLE_SECONDS
from middlewares.routing.traits import StreamStep
from middlewares.store import ScriptRunner, StoreError

MAX_RESPONSE_BYTES = 1 << 20
"""A longer response to a start is passed on unread; the gateway's have a few KiB."""
GAP_MS = 300_000
"""Longest time between two ticks that is charged."""
GRACE_MS = 60_000
"""Age at which a stream without a session will not get one any more."""


class ActiveStream(msgspec.Struct, frozen=True):
    """A stream that was started at a gateway and not stopped."""

    app: str
    gateway: str
    """Origin."""
    since_ms: int
    """Redis time, Unix milliseconds."""


class _StartResponse(msgspec.Struct):
    """The part of the response to a start that is read (gateway contract section 1.7)."""

    stream_id: str


_START_RESPONSE = msgspec.json.Decoder(_StartResponse)
_ACTIVE_STREAM = msgspec.json.Decoder(ActiveStream)


class ByocStreams:
    """Opens, charges and ends the sessions of BYOC streams; their whole state is in Redis."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, ledger: Ledger, *, tick: int = STREAM_TICK_MS) -> None:
        """Charge a stream every `tick` milliseconds."""
        self.tick = tick
        self._runner = runner
        self._keys = keys
        self._ledger = ledger
        self._sessions = Sessions(runner, keys, tick=tick, gap=GAP_MS, workload=Workload.BYOC)

    def track_response(self, exchange: Exchange, send: Send) -> Send:
        """Return a `send` for an exchange that starts or stops a stream: the session begins or ends before it sends.

        Raises `Refusal` (503) for a start while Redis is unavailable, where its time cannot be kept.
        """
        assert exchange.route is not None  # noqa: S101 - edge stands before this stage
        if exchange.method != "POST":
            return send
        if exchange.route.stream is StreamStep.STOP:
            return self._track_stop(exchange, send)
        if exchange.hold is None or exchange.hold.local:
            raise _store_unavailable("A stream cannot be started right now, because its time cannot be recorded.")
        return self._track_start(exchange, send)

    def _track_start(self, exchange: Exchange, send: Send) -> Send:
        """Hold the response back until it is whole, because it names the stream; one that names none is passed on."""
        head: Message | None = None
        body = bytearray()

        async def send_after_start(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and message["status"] == 200:
                head = message
                return
            if head is None:
                await send(message)
                return
            body.extend(message.get("body", b""))
            more = message.get("more_body", False)
            if more and len(body) <= MAX_RESPONSE_BYTES:
                return
            response = None if more else decode(_START_RESPONSE, body)
            if response is not None:
                await self._begin(exchange, response.stream_id)
            start, head = head, None
            await send(start)
            await send({**message, "body": bytes(body)})

        return send_after_start

    async def _begin(self, exchange: Exchange, stream: str) -> None:
        hold, policy = exchange.hold, exchange.policy
        assert hold is not None and policy is not None  # noqa: S101, PT018 - `track_response` checked them
        milliseconds = round((time.monotonic() - exchange.started) * 1000)
        event = event_of(self._ledger, exchange, hold, Usage(), milliseconds)
        request = Settlement(hold=hold, event=msgspec.Raw(ENCODER.encode(event)), time_ms=event.time)
        active = ActiveStream(hold.app, exchange.gateway, event.time)
        exchange.hold = None  # also if this fails: the session may have taken it over all the same
        self._ledger.stop_renewing(hold)
        try:
            await self._record(hold.app, stream, ENCODER.encode(active))
            denied = await self._sessions.follow(request, stream, policy)
        except StoreError:
            raise _store_unavailable(
                "The stream was started, but its time cannot be recorded: it will be stopped."
            ) from None
        if denied is not None:
            raise _limit_reached(denied)

    def _track_stop(self, exchange: Exchange, send: Send) -> Send:
        async def send_after_stop(message: Message) -> None:
            if message["type"] == "http.response.start" and (message["status"] < 300 or message["status"] == 404):
                assert exchange.principal is not None  # noqa: S101 - auth stands before this
                try:
                    await self.end(exchange.principal.app, stream_id_of(exchange.target))
                except StoreError:
                    detail = "The stream was stopped, but its end could not be recorded; stop it once more."
                    raise _store_unavailable(detail) from None
            await send(message)

        return send_after_stop

    async def end(self, app: str, stream: str) -> None:
        """End a stopped stream: charge what no tick has charged. Raises `StoreError`; then it can be called again."""
        await self._sessions.end(app, stream)
        await self._record(app, stream)

    async def active(self) -> Mapping[str, ActiveStream]:
        """Return all streams that were started and not stopped, by their ids. Raises `StoreError`."""
        found: dict[str, ActiveStream] = {}
        for reply in await gather_bounded(self._list, self._keys.tags):
            pairs = zip(reply[::2], reply[1::2], strict=True)
            found |= {stream.decode(): _ACTIVE_STREAM.decode(text) for stream, text in pairs}
        return found

    async def find(self, app: str, stream: str) -> Found | None:
        """Return the stream's session; None where it has none. Raises `StoreError`."""
        return await self._sessions.find(app, stream)

    async def charge_until_now(self, found: Found, policy: Policy | None) -> bool:
        """Charge a session up to the time at which it was found. Return False if the stream has to be stopped.

        `policy`: limits and prices of its principal now; None: the principal may not use it any more. Raises
        `StoreError`.
        """
        over = policy is None or found.session.milliseconds >= policy.plan.byoc_stream_seconds * 1000
        return await self._sessions.tick(found, None if over else policy)

    async def _record(self, app: str, stream: str, *value: bytes) -> None:
        """Record that a stream was started, or, without a value, that it has ended."""
        key = self._keys.streams(self._keys.tag(app))
        await self._runner.run(STREAMS, [key], [stream, *value], deadline=SETTLE_SECONDS)

    async def _list(self, tag: str) -> Any:
        return await self._runner.run(STREAMS, [self._keys.streams(tag)], [], deadline=SETTLE_SECONDS)


def stream_id_of(target: bytes) -> str:
    """Return the stream id in `/process/stream/{id}/...`."""
    return target.split(b"/", 4)[3].decode("ascii", "replace")


def _limit_reached(denied: Denied) -> Refusal:
    detail = f"The stream may not go on ({denied.limit_state.policy}); it will be stopped."
    return Refusal(402, denied.code, detail, members={"policy": denied.limit_state.policy})


def _store_unavailable(detail: str) -> Refusal:
    return Refusal(503, "store_unavailable", detail, headers=[(b"retry-after", b"2")])
