"""The affinity table: which gateway has which resource, kept in Redis for all workers, under the app that owns it.

A gateway keeps manifests, streams and results in the memory of its process (gateway contract section 9.6). An id that
it makes up itself has 32 random bits and can be guessed: its entry in this table is also the proof of who owns it.
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

from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import Argument, Call, Script, ScriptRunner, StoreDeferred, StoreError, StoreUnavailable

CACHE_SECONDS = 5.0
"""How long a worker trusts its own copy of an entry. A manifest that another worker moved may be split for as long."""
CACHE_ENTRIES = 50_000
REMEMBER_SECONDS = 2.0
"""Deadline of writing the resources that a gateway created, which no client waits for."""
RETRY_PAUSES = (0.01, 0.04, 0.1, 0.25)
"""Seconds before each further look-up of an unknown id: its owner may use it before the worker that saw it being
created has written it to Redis."""

_LUA = files(__package__) / "lua"
FIND = Script("find_placement", (_LUA / "find.lua").read_bytes())
REMEMBER = Script("remember_placement", (_LUA / "remember.lua").read_bytes())


class ResourceKind(StrEnum):
    """Kinds of resources of a gateway; each kind is a namespace of its own."""

    MANIFEST = "manifest"
    LIVE = "live"
    BYOC = "byoc"
    VIDEO = "video"
    """Request id of an asynchronous image-to-video."""
    RESULT = "result"
    """Folder of a result, below `/stream/`."""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """Something that exists at one gateway, for example a stream; `name` is what the gateway calls it."""

    app: str
    kind: ResourceKind
    name: str


class AffinityTable:
    """A worker's view of the table; its copies of entries are bounded."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, life: Mapping[ResourceKind, float]) -> None:
        """Keep an entry for `life` seconds after its last use."""
        self._runner = runner
        self._keys = keys
        self._life_ms = {kind: round(life[kind] * 1000) for kind in ResourceKind}
        self._known: dict[Resource, tuple[str, float]] = {}
        """Copies of entries: gateway, and until when it is trusted (`time.monotonic`); the longest unused first."""
        self._writing: set[asyncio.Future[Any]] = set()

    async def find(
        self, resources: Sequence[Resource], *, retry: bool = False, fresh: bool = False, store_lost: bool = False
    ) -> tuple[Resource, str] | None:
        """Return the first of `resources` (of one app) that has an entry, and its gateway's origin; None if none has.

        `retry`: unknown resources are looked up again for half a second. `fresh`: Redis is read in any case.
        `store_lost`: Redis is not waited for. Raises `StoreError` where Redis cannot be read and this worker has no
        copy of the entry.
        """
        for resource in resources:
            if not fresh and (gateway := self._cached(resource)) is not None:
                return resource, gateway
        try:
            if store_lost:
                raise StoreUnavailable("Redis did not answer this request before")
            found = await self._ask(resources)
            for pause in RETRY_PAUSES if retry else ():
                if found is not None:
                    break
                await asyncio.sleep(pause)
                found = await self._ask(resources)
        except StoreError:
            for resource in resources:
                if resource in self._known:
                    return resource, self._known[resource][0]
            raise
        return found

    async def claim(self, resource: Resource, gateway: str, *, replacing: str = "") -> str:
        """Assign `resource` to `gateway` unless it has an entry, and return its gateway from now on.

        An entry for the gateway `replacing` is overwritten. Raises `StoreError`.
        """
        found = await self._ask([resource], gateway, replacing)
        return found[1] if found else gateway

    def remember(self, resources: Sequence[Resource], gateway: str) -> None:
        """Record that the gateway created `resources` (of one app and kind). Returns at once; known ones are skipped.

        They are written in the background, hence `retry` of `find`. Where Redis is lost, this worker alone knows them.
        """
        resources = [resource for resource in resources if self._cached(resource) != gateway]
        if not resources:
            return
        for resource in resources:
            self._cache(resource, gateway)
        keys = [self._key(resource) for resource in resources]
        args = (gateway, self._life_ms[resources[0].kind])
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._runner.begin(Call(REMEMBER, keys, args), reply, REMEMBER_SECONDS):
            self._writing.add(reply)
            reply.add_done_callback(partial(self._replied, keys, args))
        else:
            self._spawn(keys, args)

    async def drain(self) -> None:
        """Wait until every background write has ended."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _replied(self, keys: Sequence[Argument], args: Sequence[Argument], reply: asyncio.Future[Any]) -> None:
        """Nearly always they are written down now, without a task of their own."""
        self._writing.discard(reply)
        if isinstance(reply.exception(), StoreDeferred):
            self._spawn(keys, args)

    def _spawn(self, keys: Sequence[Argument], args: Sequence[Argument]) -> None:
        task = asyncio.create_task(self._write(keys, args))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, keys: Sequence[Argument], args: Sequence[Argument]) -> None:
        try:
            await self._runner.run(REMEMBER, keys, args, deadline=REMEMBER_SECONDS)
        except StoreError:  # the store says so itself, once; without it the result is found by this worker alone
            return

    async def _ask(
        self, resources: Sequence[Resource], gateway: str = "", replacing: str = ""
    ) -> tuple[Resource, str] | None:
        lives = [self._life_ms[resource.kind] for resource in resources]
        keys = [self._key(resource) for resource in resources]
        reply = await self._runner.run(FIND, keys, (gateway, replacing, *lives))
        if reply is None:
            return None
        resource, found = resources[reply[0] - 1], reply[1].decode()
        self._cache(resource, found)
        return resource, found

    def _cached(self, resource: Resource) -> str | None:
        known = self._known.get(resource)
        return known[0] if known is not None and known[1] > time.monotonic() else None

    def _cache(self, resource: Resource, gateway: str) -> None:
        self._known.pop(resource, None)
        if len(self._known) >= CACHE_ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[resource] = gateway, time.monotonic() + CACHE_SECONDS

    def _key(self, resource: Resource) -> str:
        return f"{self._keys.tag(resource.app)}place:{resource.app}:{resource.kind}:{resource.name}"
