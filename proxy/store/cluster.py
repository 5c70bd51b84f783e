"""Redis Cluster: every slot's master, kept up to date by what the nodes say."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from middlewares.store import (
    Argument,
    Call,
    Receiver,
    Script,
    StoreError,
    StoreRejected,
    StoreTimeout,
    StoreUnavailable,
)
from proxy.store.address import Address, Endpoint
from proxy.store.breaker import BreakerState
from proxy.store.channel import fixed
from proxy.store.connection import Reply
from proxy.store.node import Node, Wiring
from proxy.store.replies import Redirected, TryAgain

_TRY_AGAIN_SECONDS = 0.01

_UNKNOWN_HOSTS = frozenset({"", "?"})
"""How a node writes the host of an endpoint that is reached where the node itself was."""


class Cluster:
    """The masters of a cluster. The slot map is read anew after a redirection and while a node cannot serve."""

    REFRESH_SECONDS = 0.25
    """Least time between two readings of the slot map, and the grace in which a node that left it may still answer."""

    def __init__(self, address: Address, wiring: Wiring) -> None:
        self._seeds = address.endpoints
        self._wiring = wiring
        self._masters: dict[Endpoint, Node] = {}
        self._retired: list[Node] = []
        self._slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._stale = asyncio.Event()
        self._refresher: asyncio.Task[None] | None = None

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
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
        await self._close_retired()
        await asyncio.gather(*(node.channel.close() for node in self.nodes))

    async def run(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], deadline: float) -> Reply:
        """Run `script` where `keys[0]` lives; redirections are followed, since they mean that nothing ran."""
        loop = asyncio.get_running_loop()
        expires = loop.time() + deadline
        slot = _slot_of(keys[0])
        node, asking = self._slots[slot], False
        if node is None:
            self._stale.set()
            raise StoreUnavailable(f"no master serves slot {slot} of the cluster now")
        while (remaining := expires - loop.time()) > 0:
            try:
                return await node.run(script, keys, args, remaining, asking=asking)
            except Redirected as redirection:
                node, asking = self._follow(redirection, node), redirection.ask
                await node.channel.ready(remaining)
            except TryAgain:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
        raise StoreTimeout(f"slot {slot} of the cluster did not settle on a node in time")

    def begin(self, call: Call, receiver: Receiver, deadline: float) -> bool:
        """As `ScriptRunner.begin`; a redirection is an error that `run` knows to follow."""
        node = self._slots[_slot_of((call.common_keys or call.keys)[0])]
        return node is not None and node.begin(call, receiver, deadline)

    def _follow(self, redirection: Redirected, asked: Node) -> Node:
        endpoint = redirection.endpoint
        if endpoint.host in _UNKNOWN_HOSTS and asked.channel.endpoint is not None:
            endpoint = replace(endpoint, host=asked.channel.endpoint.host)
        node = self._master(endpoint)
        if not redirection.ask:
            self._slots[redirection.slot] = node
            self._stale.set()
        return node

    def _master(self, endpoint: Endpoint) -> Node:
        """The node at `endpoint`, which is made known if it is new."""
        if endpoint not in self._masters:
            node = Node(str(endpoint), fixed(endpoint), self._wiring, on_failure=self._stale.set)
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
        timeout = self._wiring.dialer.timeout
        new = [node.channel.ready(timeout) for endpoint, node in masters.items() if endpoint not in known]
        await asyncio.gather(*new, return_exceptions=True)
        slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, endpoint in ranges:
            slots[first : last + 1] = [masters[endpoint]] * (last + 1 - first)
        self._retired += [node for endpoint, node in self._masters.items() if endpoint not in masters]
        self._masters, self._slots = masters, slots
        if not known <= masters.keys():
            self._wiring.on_new_server()

    async def _read_map(self) -> list[tuple[int, int, Endpoint]]:
        """First slot, last slot and master of every range, from the first node that tells."""
        healthy = [e for e, node in self._masters.items() if node.breaker.state is BreakerState.CLOSED]
        random.shuffle(healthy)  # so that no single outdated node is asked every time
        dialer = self._wiring.dialer
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


@lru_cache(maxsize=4096)
def _slot_of(key: Argument) -> int:
    return int(key_slot(key if isinstance(key, bytes) else str(key).encode()))


def _endpoint(node: list[Any], asked: Endpoint) -> Endpoint:
    """The endpoint of one node of a CLUSTER SLOTS reply: `[host, port, id, ...]`."""
    host = (node[0] or b"").decode()
    return Endpoint(asked.host if host in _UNKNOWN_HOSTS else host, node[1])
