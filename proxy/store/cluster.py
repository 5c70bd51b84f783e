"""Redis Cluster: the master of every slot, kept up to date by what the nodes report."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from middlewares.store import (
    Argument,
    Call,
    StoreError,
    StoreRejected,
    StoreTimeout,
    StoreUnavailable,
)
from proxy.store.address import Address, Endpoint
from proxy.store.breaker import BreakerState
from proxy.store.channel import fixed
from proxy.store.connection import Receiver, Reply
from proxy.store.node import Node, NodeSettings
from proxy.store.replies import Redirected, TryAgain

_TRY_AGAIN_SECONDS = 0.01

_UNKNOWN_HOSTS = frozenset({"", "?"})
"""How a node writes the host of an endpoint that is reached where the node itself was."""


class _RedirectableCall(msgspec.Struct, frozen=True):
    """Receives the reply of one call, or tries again where the cluster sends it elsewhere."""

    cluster: Cluster
    call: Call
    receiver: Receiver
    node: Node
    expires: float

    def done(self) -> bool:
        return self.receiver.done()

    def set_result(self, reply: Reply) -> None:
        self.receiver.set_result(reply)

    def set_exception(self, error: StoreError) -> None:
        if isinstance(error, Redirected | TryAgain):
            self.cluster.retry(self, error)
        else:
            self.receiver.set_exception(error)


class Cluster:
    """The masters of a cluster; the slot map is read again after a redirection and while a node cannot serve."""

    REFRESH_SECONDS = 0.25
    """Least time between two readings of the slot map, and the grace in which a node that left it may still reply."""

    def __init__(self, address: Address, settings: NodeSettings) -> None:
        self._seeds = address.endpoints
        self._settings = settings
        self._masters: dict[Endpoint, Node] = {}
        self._retired: list[Node] = []
        self._slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._stale = asyncio.Event()
        self._refresher: asyncio.Task[None] | None = None
        self._retries: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def nodes(self) -> Sequence[Node]:
        return tuple(self._masters.values())

    async def open(self) -> None:
        try:
            await self._refresh()
            if not any(node.channel.server for node in self.nodes):
                raise StoreUnavailable("no master of the cluster can be reached")
        except BaseException:
            await self.close()
            raise
        self._refresher = asyncio.create_task(self._keep_fresh(), name="store cluster map")

    async def close(self) -> None:
        tasks = [*self._retries, *((self._refresher,) if self._refresher else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._close_retired()
        await asyncio.gather(*(node.channel.close() for node in self.nodes))

    def submit(self, call: Call, receiver: Receiver, deadline: float) -> None:
        """As `Servers.submit`; redirections are followed, because nothing ran before them."""
        slot = _slot_of_call(call)
        node = self._slots[slot]
        if node is None:
            self._stale.set()
            receiver.set_exception(StoreUnavailable(f"no master serves slot {slot} of the cluster now"))
            return
        expires = self._loop.time() + deadline
        node.submit(call, _RedirectableCall(self, call, receiver, node, expires), deadline)

    def retry(self, tried: _RedirectableCall, error: Redirected | TryAgain) -> None:
        """Follow a redirection in the background."""
        task = asyncio.create_task(self._retry(tried, error), name="store cluster redirection")
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _retry(self, tried: _RedirectableCall, error: Redirected | TryAgain) -> None:
        try:
            reply = await self._run_elsewhere(tried, error)
        except StoreError as final:
            if not tried.done():
                tried.receiver.set_exception(final)
        except asyncio.CancelledError:
            if not tried.done():
                tried.receiver.set_exception(StoreUnavailable("the store is closed"))
            raise
        else:
            if not tried.done():
                tried.receiver.set_result(reply)

    async def _run_elsewhere(self, tried: _RedirectableCall, error: Redirected | TryAgain) -> Reply:
        node, asking = tried.node, False
        while (remaining := tried.expires - self._loop.time()) > 0:
            if isinstance(error, Redirected):
                node, asking = self._follow(error, node), error.ask
                await node.channel.ready(remaining)
            else:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            reply = self._loop.create_future()
            node.submit(tried.call, reply, tried.expires - self._loop.time(), asking=asking)
            try:
                return await reply
            except (Redirected, TryAgain) as again:
                error = again
        raise StoreTimeout(f"slot {_slot_of_call(tried.call)} of the cluster did not settle on a node in time")

    def _follow(self, redirection: Redirected, sender: Node) -> Node:
        endpoint = redirection.endpoint
        if endpoint.host in _UNKNOWN_HOSTS and sender.channel.endpoint is not None:
            endpoint = replace(endpoint, host=sender.channel.endpoint.host)
        node = self._master(endpoint)
        if not redirection.ask:
            self._slots[redirection.slot] = node
            self._stale.set()
        return node

    def _master(self, endpoint: Endpoint) -> Node:
        """Return the node at `endpoint`, which is added if it is new."""
        if endpoint not in self._masters:
            node = Node(str(endpoint), fixed(endpoint), self._settings, on_failure=self._stale.set)
            node.channel.start()
            self._masters[endpoint] = node
        return self._masters[endpoint]

    async def _keep_fresh(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._refresh()
            except Exception:  # whatever it was: without this task no failover would be found any more
                self._stale.set()
            await asyncio.sleep(self.REFRESH_SECONDS)
            await self._close_retired()

    async def _refresh(self) -> None:
        """Read the slot map and adopt it, once its new masters are connected or have failed to be."""
        ranges = await self._read_map()
        known = set(self._masters)
        masters = {endpoint: self._master(endpoint) for _, _, endpoint in ranges}
        timeout = self._settings.dialer.timeout
        new = [node.channel.ready(timeout) for endpoint, node in masters.items() if endpoint not in known]
        await asyncio.gather(*new, return_exceptions=True)
        slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, endpoint in ranges:
            slots[first : last + 1] = [masters[endpoint]] * (last + 1 - first)
        self._retired += [node for endpoint, node in self._masters.items() if endpoint not in masters]
        self._masters, self._slots = masters, slots
        if not known <= masters.keys():
            self._settings.on_new_server()

    async def _read_map(self) -> list[tuple[int, int, Endpoint]]:
        """Return first slot, last slot and master of every range, from the first node that can be read."""
        healthy = [e for e, node in self._masters.items() if node.breaker.state is BreakerState.CLOSED]
        random.shuffle(healthy)  # so that no single outdated node is read every time
        dialer = self._settings.dialer
        failure: StoreError = StoreUnavailable("no slots are assigned in the cluster")
        for endpoint in dict.fromkeys((*healthy, *self._masters, *self._seeds)):
            try:
                connection, _ = await dialer.dial(endpoint)
                with closing(connection):
                    ranges = await connection.call((b"CLUSTER", b"SLOTS"), dialer.timeout)
            except StoreRejected as error:
                failure = StoreRejected(f"not a node of a cluster: {error}")
            except StoreError as error:
                failure = error
            else:
                if ranges:
                    return [(first, last, _endpoint(master, endpoint)) for first, last, master, *_ in ranges]
        raise failure

    async def _close_retired(self) -> None:
        retired, self._retired = self._retired, []
        await asyncio.gather(*(node.channel.close() for node in retired))


def _slot_of_call(call: Call) -> int:
    return _slot_of((call.common_keys or call.keys)[0])


@lru_cache(maxsize=4096)
def _slot_of(key: Argument) -> int:
    return int(key_slot(key if isinstance(key, bytes) else str(key).encode()))


def _endpoint(node: list[Any], source: Endpoint) -> Endpoint:
    """Return the endpoint of one node, `[host, port, id, ...]`, in a CLUSTER SLOTS reply of `source`."""
    host = (node[0] or b"").decode()
    return Endpoint(source.host if host in _UNKNOWN_HOSTS else host, node[1])
