"""The store: the rest of Tollgate sees one Redis, whatever topology stands behind its address."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.asyncio import Redis, RedisCluster

from middlewares.store import Call, StoreUnavailable
from proxy.store.address import Address, AddressError, Topology
from proxy.store.breaker import BreakerState
from proxy.store.channel import fixed
from proxy.store.clients import close_client, control_client, sentinels
from proxy.store.cluster import Cluster
from proxy.store.connection import Reply
from proxy.store.dial import Dialer
from proxy.store.embedded.redis_process import EmbeddedRedis
from proxy.store.node import NodeChange, NodeSettings
from proxy.store.topology import SentinelServers, Servers, SingleServer

_STALL_SECONDS = 1.0
"""A connection whose oldest command waits this long is given up; also the time that connecting may take."""

_MAX_PENDING = 16_384
"""Commands that may wait on one connection."""


class Store:
    """Runs scripts of the request path over channels of its own; `redis`, a redis-py client, is for all else."""

    def __init__(
        self, servers: Servers, redis: Redis | RedisCluster, deadline: float, resources: AsyncExitStack
    ) -> None:
        self.redis = redis
        self._servers = servers
        self._deadline = deadline
        self._resources = resources
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(
        cls,
        url: str | None,
        data_dir: Path,
        *,
        deadline: float = 0.25,
        control_timeout: float = 2.0,
        on_state: Callable[[NodeChange], None] = lambda _: None,
        on_new_server: Callable[[], None] = lambda: None,
    ) -> Self:
        """Connect to the Redis at `url`, or to the embedded one of `data_dir` when `url` is None.

        `deadline` is the default for `run`, `control_timeout` bounds connecting and each reply of `redis`; both in
        seconds. `on_state` is called once for every opening and closing of a node's circuit breaker. `on_new_server` is
        called when a node was restarted or replaced: acknowledged writes of the last seconds may be missing there.

        Raises `StoreError` with one line for people.
        """
        stall = max(_STALL_SECONDS, 2 * deadline)
        async with AsyncExitStack() as resources:
            embedded: EmbeddedRedis | None = None
            if url is None:
                embedded = await asyncio.to_thread(EmbeddedRedis.acquire, data_dir)
                resources.push_async_callback(asyncio.to_thread, embedded.release)
                url = embedded.url
            try:
                address = Address.parse(url)
            except AddressError as error:
                raise StoreUnavailable(f"the address of Redis (TOLLGATE_REDIS_URL) is wrong: {error}") from None
            dialer = Dialer.to(address, timeout=stall, stall=stall, max_pending=_MAX_PENDING)
            node_settings = NodeSettings(dialer, on_state, on_new_server)
            sentinel = None
            servers: Servers
            if address.topology is Topology.CLUSTER:
                servers = Cluster(address, node_settings)
            elif address.topology is Topology.SENTINEL:
                sentinel = sentinels(address, stall / 2)
                resources.push_async_callback(sentinel.aclose)
                servers = SentinelServers(address, sentinel, node_settings)
            else:
                locate = embedded.locate if embedded else fixed(address.endpoints[0])
                servers = SingleServer(str(address), locate, node_settings)
            await servers.open()
            resources.push_async_callback(servers.close)
            redis = await control_client(address, sentinel, control_timeout)
            resources.push_async_callback(close_client, redis)
            return cls(servers, redis, deadline, resources.pop_all())

    async def close(self) -> None:
        """Disconnect; pending calls fail. The embedded server stops when this was its last owner."""
        await self._resources.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def run(self, call: Call, *, deadline: float | None = None) -> asyncio.Future[Reply]:
        """As `ScriptRunner.run`."""
        reply = self._loop.create_future()
        self._servers.submit(call, reply, self._deadline if deadline is None else deadline)
        return reply

    @property
    def state(self) -> BreakerState:
        """Closed when every node is served, else open: calls to at least one node fail at once."""
        closed = all(node.breaker.state is BreakerState.CLOSED for node in self._servers.nodes)
        return BreakerState.CLOSED if closed else BreakerState.OPEN

    async def health(self) -> None:
        """Raise `StoreError` unless every node replies within the default deadline."""
        pings = (node.ping(self._deadline) for node in self._servers.nodes)
        for outcome in await asyncio.gather(*pings, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
