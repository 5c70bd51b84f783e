"""The idempotency stage: a request that is repeated with its `Idempotency-Key` is done and paid for once."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.address_limit import AddressLimit
from middlewares.exchange import Exchange, Refusal
from middlewares.idempotency.claims import Claims, Done, InFlight
from middlewares.idempotency.key import key_of
from middlewares.idempotency.replay_slots import ReplaySlots
from middlewares.idempotency.stored_response import ResponseRecorder, replay
from middlewares.idempotent_request import IdempotentRequest
from middlewares.store import StoreError

RETRY_SECONDS = 2
LONGEST_WAIT_SECONDS = 10
"""Most that a client is told to wait for a request that is in flight."""


class IdempotencyMiddleware:
    """Claims the key of a request, or responds to a repetition: 409 while the first is in flight, else its response.

    The claim ends with the request's hold, in one call to Redis: work that is charged leaves it done, all other frees
    the key. So whatever is killed when, a key never stands for two charges. Raises `Refusal`: 400 for a key that is
    none, 409, 422 for a key that stands for another request, 429 for too many replays, 503 where Redis cannot say.
    """

    def __init__(self, app: ASGIApp, *, claims: Claims, response_bytes: int, limit: AddressLimit) -> None:
        """Responses of at most `response_bytes` are kept; `limit` counts repetitions by app."""
        self.app = app
        self.limit = limit
        self.claims = claims
        self.response_bytes = response_bytes
        self.slots = ReplaySlots()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["tollgate.exchange"].idempotent is None:
            return self.app(scope, receive, send)
        return self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["tollgate.exchange"]
        request = exchange.idempotent
        assert request is not None  # noqa: S101 - asked before
        key = key_of(request.header)
        try:
            found = await self.claims.claim(exchange, key)
            if isinstance(found, InFlight):
                raise _in_flight(found.age_seconds)
            if isinstance(found, Done):
                await self._replay(exchange, request, found, receive, send)
                return
        except StoreError:
            raise _store_unavailable() from None
        request.claim = claim = found

        def keep(response: bytes) -> None:
            fingerprint = request.fingerprint.value
            self.claims.keep(exchange, claim, fingerprint, response if fingerprint else b"")

        recorder = ResponseRecorder(self.response_bytes, keep)
        request.record = recorder.take
        try:
            await self.app(scope, receive, send)
        finally:
            request.record = None
            if request.claim is not None:
                self.claims.release(exchange, claim)
            elif not recorder.succeeded:  # an error is kept where the plan charges for it, once that is known
                keep(recorder.response)

    async def _replay(
        self, exchange: Exchange, request: IdempotentRequest, done: Done, receive: Receive, send: Send
    ) -> None:
        """Send the response for a repetition, once its body has shown that it is one.

        It is counted before its body is read, for no limit of the plan stands before that. Raises `Refusal` (409, 422,
        429) and `StoreError`.
        """
        assert exchange.principal is not None  # noqa: S101 - auth stands before this stage
        self.limit.count(exchange.principal.app)
        if done.fingerprint:
            await _read_to_end(receive)
            if request.fingerprint.value != done.fingerprint:
                raise _reused(done)
        if not done.kept:
            raise _not_kept(done)
        async with self.slots.slot(exchange.principal.app):
            response = await self.claims.response_of(done)
            if not response:
                raise _not_kept(done)
            request.replay_of = done.request_id
            await replay(response, send)


def replay_limit(per_minute: int) -> AddressLimit:
    """Return the limit of kept responses: they count in no limit of a plan, and Redis has to give them."""
    return AddressLimit("replayed-responses", per_minute, counted="kept responses of an app", unit="responses")


def _in_flight(age_seconds: float) -> Refusal:
    """Return the refusal (409) of a key whose request began so many seconds ago and has not ended.

    The client is told to wait as long again, so that it asks for long work more seldom.
    """
    wait = max(1, min(LONGEST_WAIT_SECONDS, int(age_seconds)))
    return Refusal(
        409,
        "idempotency_in_flight",
        "A request with this Idempotency-Key has not ended yet. Send this one again later for its response.",
        headers=[(b"retry-after", b"%d" % wait)],
    )


def _reused(done: Done) -> Refusal:
    detail = "This Idempotency-Key was used for another request; every request needs a key of its own."
    return Refusal(422, "idempotency_key_reused", detail, members={"original_request_id": done.request_id})


def _not_kept(done: Done) -> Refusal:
    detail = (
        "The work of this request was done before, but its response was not kept. It is not done again; send the "
        "request with a new Idempotency-Key if it should be."
    )
    return Refusal(409, "idempotency_done", detail, members={"original_request_id": done.request_id})


async def _read_to_end(receive: Receive) -> None:
    """Read a body, and keep nothing of it. Raises `Refusal` (400) for a client that left."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)
        more = message.get("more_body", False)


def _store_unavailable() -> Refusal:
    return Refusal(
        503,
        "store_unavailable",
        "Whether this Idempotency-Key was used before cannot be checked right now. Nothing was forwarded.",
        headers=[(b"retry-after", b"%d" % RETRY_SECONDS)],
    )
