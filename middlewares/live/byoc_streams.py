"""BYOC streams: paid for by the time from their start to their end.

No heartbeat reports them (gateway contract section 5.3), so Tollgate keeps the time itself. A start is noted before it
is forwarded. A successful one opens a session in Redis, which takes over the hold of the request. Any worker ticks it,
once its gateway has said that it knows the stream: a tick charges the time since the one before and reserves the next.
Stop charges the rest to the millisecond, at any worker and also after a restart. A gateway that does not know the
stream any more (404) has ended it by itself (section 10): it is charged to the last tick, which is the last proof of
its life. Each step is one conditional script, so nothing is charged twice.

A stream that is never stopped is charged until its balance, its caps or `byoc_stream_seconds` of its plan are used up;
then it is stopped at its gateway. Time between ticks that are more than `GAP_MS` apart is not charged.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from starlette.types import Message, Send

from config.workloads import Workload
from middlewares.exchange import Exchange, Refusal
from middlewares.json_codec import decode
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Denied, Settlement, Usage
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.sessions.session import STREAM_TICK_MS
from middlewares.ledger.sessions.sessions import Sessions, SessionSnapshot
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.settlement.request_event import event_of
from middlewares.live.stream_registry import ActiveStream, StreamRegistry, start_entry
from middlewares.routing.traits import StreamStep
from middlewares.store import ScriptRunner, StoreError
from middlewares.whole_response import when_whole

GAP_MS = 300_000
"""Longest time between two ticks that is charged; a gateway that is silent for longer has lost the stream."""
GRACE_MS = 60_000
"""Age at which a stream without a session will not get one any more."""
NO_SUCH_ROUTE = frozenset({404, 405, 501})
"""How a gateway responds to DELETE of a WHIP session if it has no route for it; stock ones say 405 (section 10)."""


class _StartResponse(msgspec.Struct):
    """The part of the response to a start that is read (gateway contract section 1.7)."""

    stream_id: str


_START_RESPONSE = msgspec.json.Decoder(_StartResponse)


class ByocStreams:
    """Opens, charges and ends the sessions of BYOC streams; their whole state is in Redis."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, ledger: Ledger, *, tick: int = STREAM_TICK_MS) -> None:
        """Charge a stream every `tick` milliseconds."""
        self.tick = tick
        self.registry = StreamRegistry(runner, keys)
        self._ledger = ledger
        self._sessions = Sessions(runner, keys, tick=tick, gap=GAP_MS, workload=Workload.BYOC)

    async def note_start(self, exchange: Exchange) -> None:
        """Note the stream that is about to be started, so that it is stopped if nobody learns how that went.

        Raises `Refusal` (503) while Redis is unavailable, where the stream's time cannot be kept.
        """
        hold = exchange.hold
        if hold is None or hold.local:
            raise _store_unavailable("A stream cannot be started right now, because its time cannot be recorded.")
        first, *others = exchange.gateways
        active = ActiveStream(
            hold.app, first, self._ledger.clock.now_ms(), hold.request_id, starting=True, fallbacks=tuple(others)
        )
        try:
            await self.registry.record(start_entry(exchange.new_stream, exchange.request_id), active)
        except StoreError:
            detail = "A stream cannot be started right now, because its time cannot be recorded."
            raise _store_unavailable(detail) from None

    async def forget_start(self, exchange: Exchange) -> None:
        """Remove the note of a start that started nothing; where Redis is unavailable, the stream is stopped later."""
        assert exchange.principal is not None  # noqa: S101 - auth stands before this
        with suppress(StoreError):
            entry = start_entry(exchange.new_stream, exchange.request_id)
            await self.registry.forget(exchange.principal.app, entry)

    def track_start(self, exchange: Exchange, send: Send) -> Send:
        """Return a `send` that opens the session before the client learns of the stream.

        It holds the response back until it is whole, because it names the stream; one that names none is passed on.
        """

        async def begin(body: bytes) -> bytes:
            response = decode(_START_RESPONSE, body)
            if response is not None:
                await self._begin(exchange, response.stream_id)
            return body

        return when_whole(send, lambda head: head["status"] == 200, begin)

    async def _begin(self, exchange: Exchange, stream: str) -> None:
        hold, policy = exchange.hold, exchange.policy
        assert hold is not None and policy is not None  # noqa: S101, PT018 - `note_start` checked them
        milliseconds = round((time.monotonic() - exchange.started) * 1000)
        event = event_of(self._ledger, exchange, hold, Usage(), milliseconds)
        request = Settlement(hold=hold, event=msgspec.Raw(ENCODER.encode(event)), time_ms=event.time, work_done=True)
        active = ActiveStream(hold.app, exchange.gateway, event.time, hold.request_id)
        exchange.hold = None  # also if this fails: the session may have taken it over all the same
        self._ledger.stop_renewing(hold)
        try:
            await self.registry.record(stream, active)
            denied = await self._sessions.follow(request, stream, policy)
        except StoreError:
            raise _store_unavailable(
                "The stream was started, but its time cannot be recorded: it will be stopped."
            ) from None
        await self.forget_start(exchange)
        if denied is not None:
            raise _limit_reached(denied)

    def track_end(self, exchange: Exchange, send: Send) -> Send:
        """Return a `send` that ends the session with the response to a stop, or to DELETE of the WHIP session.

        A gateway that cannot serve the DELETE has Tollgate respond in its place.
        """
        assert exchange.route is not None and exchange.principal is not None  # noqa: S101, PT018 - as the stages stand
        hang_up = exchange.route.stream is StreamStep.HANG_UP
        app, stream = exchange.principal.app, stream_id_of(exchange.target)
        replaced = False

        async def send_after_end(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                status = message["status"]
                replaced = hang_up and status in NO_SUCH_ROUTE
                if status < 300 or status == 404 or replaced:
                    await self._end_now(app, stream, hang_up=hang_up, proven=status != 404)
                if replaced:
                    message = {**message, "status": 200, "headers": [(b"content-length", b"0")]}
            elif replaced:
                message = {**message, "body": b""}
            await send(message)

        return send_after_end

    async def _end_now(self, app: str, stream: str, *, hang_up: bool, proven: bool) -> None:
        try:
            if not proven:
                await self._sessions.end_at_last_tick(app, stream)
            else:
                await self._sessions.end(app, stream)
            if not hang_up:  # else it stays registered without a session, and is stopped at its gateway
                await self.registry.forget(app, stream)
        except StoreError:
            detail = "The stream was stopped, but its end could not be recorded; stop it once more."
            raise _store_unavailable(detail) from None

    async def end(self, app: str, stream: str) -> None:
        """End a stopped stream: charge what no tick has charged. Raises `StoreError`; then it can be called again."""
        await self._sessions.end(app, stream)
        await self.registry.forget(app, stream)

    async def end_at_last_tick(self, found: SessionSnapshot) -> bool:
        """End a session whose stream was not proven to live since its last tick; False if it has moved on since.

        Raises `StoreError`.
        """
        return await self._sessions.end_at_last_tick(found.session.hold.app, found.session.stream, found)

    async def active(self) -> Mapping[str, ActiveStream]:
        """Return all streams that were started and not stopped, and the starts under way. Raises `StoreError`."""
        return await self.registry.all()

    async def find(self, app: str, stream: str) -> SessionSnapshot | None:
        """Return the stream's session; None where it has none. Raises `StoreError`."""
        return await self._sessions.find(app, stream)

    def is_due(self, found: SessionSnapshot, policy: Policy | None) -> bool:
        """Return True if the session has to be charged now, or its stream to be stopped."""
        return _must_end(found, policy) or self._sessions.is_due(found)

    async def charge_until_now(self, found: SessionSnapshot, policy: Policy | None) -> bool:
        """Charge a session up to the time at which it was found. Return False if the stream has to be stopped.

        `policy`: limits and prices of its principal now; None: the principal may not use it any more. Raises
        `StoreError`.
        """
        return await self._sessions.tick(found, None if _must_end(found, policy) else policy)


def stream_id_of(target: bytes) -> str:
    """Return the stream id in `/process/stream/{id}/...`."""
    return target.split(b"/", 4)[3].decode("ascii", "replace")


def _must_end(found: SessionSnapshot, policy: Policy | None) -> bool:
    return policy is None or found.session.milliseconds >= policy.plan.byoc_stream_seconds * 1000


def _limit_reached(denied: Denied) -> Refusal:
    detail = f"The stream may not go on ({denied.limit_state.policy}); it will be stopped."
    return Refusal(402, denied.code, detail, members={"policy": denied.limit_state.policy})


def _store_unavailable(detail: str) -> Refusal:
    return Refusal(503, "store_unavailable", detail, headers=[(b"retry-after", b"2")])
