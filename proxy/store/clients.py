"""Clients of redis-py for everything off the request path: records, pub/sub, reading streams."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

from redis._parsers.commands import AsyncCommandsParser
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from middlewares.store import StoreUnavailable
from proxy.store.address import Address, Credentials, Topology
from proxy.store.dial import CLIENT_NAME

CLIENT_ERRORS = (RedisError, RedisClusterException, OSError)
"""What these clients raise where Redis cannot serve them."""

_CANCEL_SECONDS = 0.05


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks that use these clients, and return once all have ended, in whatever way.

    They are cancelled more than once: redis-py swallows a cancellation that meets a connection just lost.
    """
    living: set[asyncio.Task[Any]] = {task for task in tasks if not task.done()}
    while living:
        for task in living:
            task.cancel()
        _, living = await asyncio.wait(living, timeout=_CANCEL_SECONDS)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, for so many seconds at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class _CommandsOfAnyNode(AsyncCommandsParser):
    """Learns the commands from whichever node replies.

    redis-py queries the first master only, so while that one is down it could not reach the others either.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        super().__init__()
        self._cluster = cluster

    async def initialize(self, node: ClusterNode | None = None) -> None:
        failure: RedisError = RedisConnectionError("no node of the cluster is known")
        for candidate in dict.fromkeys((node, *self._cluster.get_primaries())):
            try:
                return await super().initialize(candidate)
            except (RedisConnectionError, RedisTimeoutError) as error:
                failure = error
        raise failure


def _settings(address: Address, login: Credentials, timeout: float) -> dict[str, Any]:
    """Return the settings of every client: short waits, and no second try of a command that may have run."""
    settings: dict[str, Any] = {
        "username": login.username,
        "password": login.password,
        "client_name": CLIENT_NAME,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,  # says who connects no better than the name, and is read from a file for each client
    }
    if address.tls:
        settings |= {"ssl": True, **address.tls_options}
        if "ssl_check_hostname" in settings:
            settings["ssl_check_hostname"] = settings["ssl_check_hostname"].lower() != "false"
    return settings


def sentinels(address: Address, timeout: float) -> Sentinel:
    """Return the sentinels of `address`, which know the master; `timeout` in seconds for each of them."""
    return Sentinel(  # type: ignore[no-untyped-call]
        [(endpoint.host, endpoint.port) for endpoint in address.endpoints],
        sentinel_kwargs=_settings(address, address.sentinel_login, timeout),
    )


async def control_client(address: Address, sentinel: Sentinel | None, timeout: float) -> Redis | RedisCluster:
    """Return the client for the control plane; `timeout` in seconds bounds connecting and each reply, which is bytes.

    Raises `StoreUnavailable` when the slots of a cluster cannot be read; for other topologies it does not connect yet.
    """
    settings = _settings(address, address.login, timeout)
    if address.topology is Topology.CLUSTER:
        nodes = [ClusterNode(endpoint.host, endpoint.port) for endpoint in address.endpoints]
        cluster = RedisCluster(startup_nodes=nodes, require_full_coverage=False, **settings)
        cluster.commands_parser = _CommandsOfAnyNode(cluster)
        try:
            return await cluster.initialize()  # else its first command goes to any node, dead or alive
        except (RedisError, RedisClusterException) as error:
            raise StoreUnavailable(f"{address} does not report its slots: {error}") from None
    if sentinel is not None:
        client: Redis = sentinel.master_for(address.service, db=address.db, **settings)
        return client
    endpoint = address.endpoints[0]
    if endpoint.path:
        return Redis(unix_socket_path=endpoint.path, db=address.db, **settings)
    return Redis(host=endpoint.host, port=endpoint.port, db=address.db, **settings)


async def now_ms(client: Redis | RedisCluster) -> int:
    """Return the time of Redis (of any node of a cluster), which dates every event, in Unix milliseconds."""
    reply = cast("Any", await client.time())
    seconds, microseconds = next(iter(reply.values())) if isinstance(reply, dict) else reply
    return int(seconds) * 1_000 + int(microseconds) // 1_000


async def close_client(client: Redis | RedisCluster) -> None:
    """Close every connection. Left alone, RedisCluster keeps those it has while it waits to read the slot map anew."""
    await client.aclose()
    if isinstance(client, RedisCluster):
        await client.nodes_manager.aclose()
        await client.nodes_manager.aclose("startup_nodes")
