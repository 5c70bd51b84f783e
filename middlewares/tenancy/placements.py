"""Which gateway has what: kept in Redis for all workers, under the app that may ask for it.

A gateway keeps manifests, streams and results in the memory of its process (gateway contract section 9.6). An id that
it makes up itself is 32 bits of chance, known to whoever guesses it: its placement is also the proof of who owns it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from importlib.resources import files
from typing import Any

import msgspec

from middlewares.ledger.keys import Keys
from middlewares.ledger.port import Call, Script, ScriptRunner, StoreDeferred, StoreError, StoreUnavailable, Word

CACHE_SECONDS = 5.0
"""How long a worker trusts what it knows. A manifest that another worker moved may be split for as long."""
CACHE_ENTRIES = 50_000
REMEMBER_SECONDS = 2.0
"""Deadline of writing down what a gateway made, which no client waits for."""
PATIENCE_SECONDS = (0.01, 0.04, 0.1, 0.25)
"""Pauses before an unknown id is asked for again: its owner may be here before the worker that saw it being made has
written it down."""

_LUA = files(__package__) / "lua"
FIND = Script("find_placement", (_LUA / "find.lua").read_bytes())
REMEMBER = Script("remember_placement", (_LUA / "remember.lua").read_bytes())


class Kind(StrEnum):
    """What lives at a gateway; each kind has names of its own."""

    MANIFEST = "manifest"
    LIVE = "live"
    BYOC = "byoc"
    VIDEO = "video"
    """Request id of an asynchronous image-to-video."""
    RESULT = "result"
    """Folder of a result, below `/stream/`."""


class Thing(msgspec.Struct, frozen=True, gc=False):
    """Something that lives at one gateway; `name` is what the gateway calls it."""

    app: str
    kind: Kind
    name: str


class Placements:
    """One per worker."""

    def __init__(self, runner: ScriptRunner, keys: Keys, life: Mapping[Kind, float]) -> None:
        """`life`: seconds after its last use for which a placement is kept."""
        self._runner = runner
        self._keys = keys
        self._life_ms = {kind: round(life[kind] * 1000) for kind in Kind}
        self._known: dict[Thing, tuple[str, float]] = {}
        """Gateway, and until when it is trusted (`time.monotonic`); the longest unused first."""
        self._writing: set[asyncio.Future[Any]] = set()

    async def find(
        self, things: Sequence[Thing], *, patient: bool = False, fresh: bool = False, store_lost: bool = False
    ) -> tuple[Thing, str] | None:
        """The first of `things` (of one app) that lives at a gateway, and its origin.

        `patient`: for a moment, what is unknown is asked for again. `fresh`: Redis is asked in any case. `store_lost`:
        it is not waited for once more.
        Raises `StoreError` where Redis cannot tell and this worker does not know.
        """
        for thing in things:
            if not fresh and (gateway := self._trusted(thing)) is not None:
                return thing, gateway
        try:
            if store_lost:
                raise StoreUnavailable("Redis did not answer this request before")
            found = await self._ask(things)
            for pause in PATIENCE_SECONDS if patient else ():
                if found is not None:
                    break
                await asyncio.sleep(pause)
                found = await self._ask(things)
        except StoreError:
            for thing in things:
                if thing in self._known:
                    return thing, self._known[thing][0]
            raise
        return found

    async def claim(self, thing: Thing, gateway: str, *, replacing: str = "") -> str:
        """Where `thing` lives from now on: at `gateway`, unless some worker has placed it already.

        A placement at `replacing` gives way. Raises `StoreError`.
        """
        found = await self._ask([thing], gateway, replacing)
        return found[1] if found else gateway

    def remember(self, things: Sequence[Thing], gateway: str) -> None:
        """The gateway has made `things` (of one app and kind). Returns at once, and writes nothing known already.

        Nobody waits until they are written down, whence `patient`. Where Redis is lost, this worker alone knows of
        them.
        """
        things = [thing for thing in things if self._trusted(thing) != gateway]
        if not things:
            return
        for thing in things:
            self._trust(thing, gateway)
        keys = [self._key(thing) for thing in things]
        args = (gateway, self._life_ms[things[0].kind])
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._runner.begin(Call(REMEMBER, keys, args), reply, REMEMBER_SECONDS):
            self._writing.add(reply)
            reply.add_done_callback(partial(self._replied, keys, args))
        else:
            self._spawn(keys, args)

    async def drain(self) -> None:
        """Wait until everything is written down, or given up."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _replied(self, keys: Sequence[Word], args: Sequence[Word], reply: asyncio.Future[Any]) -> None:
        """Nearly always they are written down now, without a task of their own."""
        self._writing.discard(reply)
        if isinstance(reply.exception(), StoreDeferred):
            self._spawn(keys, args)

    def _spawn(self, keys: Sequence[Word], args: Sequence[Word]) -> None:
        task = asyncio.create_task(self._write(keys, args))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, keys: Sequence[Word], args: Sequence[Word]) -> None:
        try:
            await self._runner.run(REMEMBER, keys, args, deadline=REMEMBER_SECONDS)
        except StoreError:  # the store says so itself, once; without it the result is found by this worker alone
            return

    async def _ask(self, things: Sequence[Thing], gateway: str = "", replacing: str = "") -> tuple[Thing, str] | None:
        lives = [self._life_ms[thing.kind] for thing in things]
        keys = [self._key(thing) for thing in things]
        reply = await self._runner.run(FIND, keys, (gateway, replacing, *lives))
        if reply is None:
            return None
        thing, found = things[reply[0] - 1], reply[1].decode()
        self._trust(thing, found)
        return thing, found

    def _trusted(self, thing: Thing) -> str | None:
        known = self._known.get(thing)
        return known[0] if known is not None and known[1] > time.monotonic() else None

    def _trust(self, thing: Thing, gateway: str) -> None:
        self._known.pop(thing, None)
        if len(self._known) >= CACHE_ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[thing] = gateway, time.monotonic() + CACHE_SECONDS

    def _key(self, thing: Thing) -> str:
        return f"{self._keys.tag(thing.app)}place:{thing.app}:{thing.kind}:{thing.name}"
