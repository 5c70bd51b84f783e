"""BYOC streams: paid for the time from their start to their stop.

No heartbeat tells of them (gateway contract section 5.3), so the gate keeps the time itself. A successful start opens
a session in Redis, in the moment that the request's own hold ends. The session is ticked by whichever worker is there:
a tick charges the time since the one before and reserves the next. Stop charges the rest to the millisecond, at any
worker and also after a restart; a gateway that knows the stream no more (404) has stopped it as well. Each step is
one conditional script, so nothing is charged twice.

A stream that is never stopped goes on being charged until its balance, its caps or `byoc_stream_seconds` of its plan
are used up; then it is stopped at its gateway. What a gate does not see for longer than `GAP_MS` is not charged.
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
from middlewares.ledger.sessions.sessions import Sessions, SessionSnapshot
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.settlement.request_event import event_of
from middlewares.ledger.settlement.settler import SETTLE_SECONDS
from middlewares.store import Call, ScriptRunner, StoreError

RESPONSE_BYTES = 1 << 20
"""A longer answer to a start is passed on unread; the gateway's have a few KiB."""
GAP_MS = 300_000
GRACE_MS = 60_000
"""A stream without a session that began so long ago will get none any more."""
START, STOP = "byoc-stream-start", "byoc-stream-stop"
NOTED = frozenset({START, STOP})
"""Routes whose answers change what is charged."""


class ActiveStream(msgspec.Struct, frozen=True):
    """A stream that a gateway was told to start."""

    app: str
    gateway: str
    """Origin."""
    since_ms: int
    """Redis time, Unix milliseconds."""


class _Started(msgspec.Struct):
    """The answer to a start (gateway contract section 1.7), as far as it matters here."""

    stream_id: str


_STARTED = msgspec.json.Decoder(_Started)
_LIVING = msgspec.json.Decoder(ActiveStream)


class Streams:
    """One per worker; all that is known of streams is in Redis."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, ledger: Ledger, *, tick: int = STREAM_TICK_MS) -> None:
        """`tick`, in milliseconds, is how often a stream is charged."""
        self.tick = tick
        self._runner = runner
        self._keys = keys
        self._ledger = ledger
        self._sessions = Sessions(runner, keys, tick=tick, gap=GAP_MS, workload=Workload.BYOC)

    def following(self, exchange: Exchange, send: Send) -> Send:
        """`send` for an exchange on a route of `NOTED`, which notes a start or a stop before its client hears of it.

        Raises `Refusal` (503) for a start while Redis is away: there is nothing to keep its time in.
        """
        assert exchange.route is not None  # noqa: S101 - one of `NOTED`
        if exchange.method != "POST":
            return send
        if exchange.route.name == STOP:
            return self._stopping(exchange, send)
        if exchange.hold is None or exchange.hold.local:
            raise _unavailable("A stream cannot be started right now, for its time could not be kept.")
        return self._starting(exchange, send)

    def _starting(self, exchange: Exchange, send: Send) -> Send:
        """Holds the answer back until it is whole: it names the stream. What names none passes as it is."""
        head: Message | None = None
        body = bytearray()

        async def send_starting(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and message["status"] == 200:
                head = message
                return
            if head is None:
                await send(message)
                return
            body.extend(message.get("body", b""))
            more = message.get("more_body", False)
            if more and len(body) <= RESPONSE_BYTES:
                return
            stream = None if more else decode(_STARTED, body)
            if stream is not None:
                await self._begin(exchange, stream.stream_id)
            start, head = head, None
            await send(start)
            await send({**message, "body": bytes(body)})

        return send_starting

    async def _begin(self, exchange: Exchange, stream: str) -> None:
        hold, policy = exchange.hold, exchange.policy
        assert hold is not None and policy is not None  # noqa: S101, PT018 - `following` has looked
        milliseconds = round((time.monotonic() - exchange.started) * 1000)
        event = event_of(self._ledger, exchange, hold, Usage(), milliseconds)
        request = Settlement(hold=hold, event=msgspec.Raw(ENCODER.encode(event)), time_ms=event.time)
        living = ActiveStream(hold.app, exchange.gateway, event.time)
        exchange.hold = None  # whatever comes of it: its fate would not be known
        self._ledger.stop_renewing(hold)
        try:
            await self._note(hold.app, stream, ENCODER.encode(living))
            denied = await self._sessions.follow(request, stream, policy)
        except StoreError:
            exchange.status = 503
            raise _unavailable("The stream was started, but its time cannot be kept: it will be stopped.") from None
        if denied is not None:
            exchange.status = 402
            raise _refused(denied)

    def _stopping(self, exchange: Exchange, send: Send) -> Send:
        async def send_stopping(message: Message) -> None:
            if message["type"] == "http.response.start" and (message["status"] < 300 or message["status"] == 404):
                assert exchange.principal is not None  # noqa: S101 - auth stands before this
                try:
                    await self.end(exchange.principal.app, stream_of(exchange.target))
                except StoreError:
                    exchange.status = 503
                    detail = "The stream was stopped, but its end could not be written down; stop it once more."
                    raise _unavailable(detail) from None
            await send(message)

        return send_stopping

    async def end(self, app: str, stream: str) -> None:
        """It has been stopped: charge what no tick has charged. Raises `StoreError`; then it can be called again."""
        await self._sessions.end(app, stream)
        await self._note(app, stream)

    async def living(self) -> Mapping[str, ActiveStream]:
        """All streams that were started and not stopped, by their ids. Raises `StoreError`."""
        found: dict[str, ActiveStream] = {}
        for reply in await gather_bounded(self._list, self._keys.tags):
            pairs = zip(reply[::2], reply[1::2], strict=True)
            found |= {stream.decode(): _LIVING.decode(text) for stream, text in pairs}
        return found

    async def find(self, app: str, stream: str) -> SessionSnapshot | None:
        """Its session; None where it has none. Raises `StoreError`."""
        return await self._sessions.find(app, stream)

    async def charge_until_now(self, found: SessionSnapshot, policy: Policy | None) -> bool:
        """Charge it until it was found. False: it must be stopped, by its limits.

        `policy` is that of its principal, None where that may not use it any more. Raises `StoreError`.
        """
        over = policy is None or found.session.milliseconds >= policy.plan.byoc_stream_seconds * 1000
        return await self._sessions.tick(found, None if over else policy)

    async def _note(self, app: str, stream: str, *value: bytes) -> None:
        """Write down that it was started, or, without a value, that it has ended."""
        key = self._keys.streams(self._keys.tag(app))
        await self._runner.run(Call(STREAMS, (key,), (stream, *value)), deadline=SETTLE_SECONDS)

    async def _list(self, tag: str) -> Any:
        return await self._runner.run(Call(STREAMS, (self._keys.streams(tag),)), deadline=SETTLE_SECONDS)


def stream_of(target: bytes) -> str:
    """The stream id in `/process/stream/{id}/...`."""
    return target.split(b"/", 4)[3].decode("ascii", "replace")


def _refused(denied: Denied) -> Refusal:
    detail = f"The stream may not go on ({denied.limit_state.policy}); it will be stopped."
    return Refusal(402, denied.code, detail, members={"policy": denied.limit_state.policy})


def _unavailable(detail: str) -> Refusal:
    return Refusal(503, "store_unavailable", detail, headers=[(b"retry-after", b"2")])
