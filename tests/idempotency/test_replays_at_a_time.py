"""One app asks for its kept responses many times at once: few of them are in memory at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from config.plans import Plan
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.idempotency.claims import Done
from middlewares.idempotency.middleware import IdempotencyMiddleware, replay_limit
from middlewares.idempotency.replay_slots import SLOTS, ReplaySlots
from middlewares.idempotency.stored_response import SLICE, StoredResponse
from middlewares.idempotent_request import IdempotentRequest, RequestFingerprint
from middlewares.ledger.model import HoldEntry

BODY = b"r" * (3 * SLICE)


class FakeClaims:
    """Has one response for all keys."""

    def __init__(self) -> None:
        self.reads = 0

    async def claim(self, exchange: Exchange, key: bytes) -> Done:
        return Done("first", b"", True, HoldEntry(kind="i", keys=()))

    async def response_of(self, done: Done) -> bytes:
        self.reads += 1
        return msgspec.msgpack.encode(StoredResponse(200, [(b"content-length", b"%d" % len(BODY))], BODY))


async def receive() -> Message:
    raise AssertionError


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def scope(app: str) -> dict[str, Any]:
    exchange = Exchange("id", 0.0, "POST", "/")
    exchange.principal = Principal(app, None, None, "unlimited", Plan())
    exchange.idempotent = IdempotentRequest(b"key", RequestFingerprint(b"/"))
    return {"type": "http", "tollgate.exchange": exchange}


async def test_few_kept_responses_of_an_app_are_on_their_way_at_a_time() -> None:
    """Hazard: its clients read nothing, and each holds a whole response in memory."""
    claims = FakeClaims()
    stage: Any = IdempotencyMiddleware(None, claims=claims, response_bytes=1, limit=replay_limit(1_000))  # type: ignore[arg-type]
    read = asyncio.Event()
    sent = bytearray()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await read.wait()
            sent.extend(message["body"])

    replays = [asyncio.create_task(stage(scope("greedy"), receive, send)) for _ in range(3 * SLOTS)]
    await settle()
    assert claims.reads == SLOTS
    other = asyncio.create_task(stage(scope("other"), receive, send))
    await settle()
    assert claims.reads == SLOTS + 1
    read.set()
    await asyncio.gather(*replays, other)
    assert claims.reads == 3 * SLOTS + 1
    assert len(sent) == len(BODY) * claims.reads


async def test_who_waits_too_long_for_a_slot_is_refused_and_who_left_frees_it() -> None:
    slots = ReplaySlots(slots=1, wait_seconds=0.01)
    async with slots.slot("app"):
        with pytest.raises(Refusal) as refused:
            async with slots.slot("app"):
                raise AssertionError
        assert (refused.value.status, refused.value.code) == (429, "rate_limited")
        async with slots.slot("other"):
            pass

    async def hold() -> None:
        async with slots.slot("app"):
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await settle()
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    async with slots.slot("app"):
        pass
