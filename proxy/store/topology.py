"""The servers behind an address: a single one, or the master that sentinels name. `cluster.py` has the third shape."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio.sentinel import Sentinel

from middlewares.store import Call, StoreUnavailable
from proxy.store.address import Address, Endpoint
from proxy.store.channel import Locate
from proxy.store.connection import Receiver
from proxy.store.node import Node, NodeSettings

_DECISIVE = frozenset({"config-epoch", "ip", "num-other-sentinels", "port"})
"""What a sentinel has to say of the master."""


class Servers(Protocol):
    """One shape of deployment. Deadlines are in seconds."""

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes in use now."""
        ...

    async def open(self) -> None:
        """Connect; raises `StoreError` when no node serves."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...

    def submit(self, call: Call, receiver: Receiver, deadline: float) -> None:
        """Run a script on the node that holds the keys, and give `receiver` the reply or the `StoreError`."""
        ...


class SingleServer:
    """One server, found by `locate`, which starts the embedded one where it does not run."""

    def __init__(self, name: str, locate: Locate, settings: NodeSettings) -> None:
        self._node = Node(name, locate, settings)
        self.nodes = (self._node,)
        self.submit = self._node.submit

    async def open(self) -> None:
        await self._node.open()
        server = self._node.channel.server
        if server is not None and server.mode == "cluster":
            await self.close()
            raise StoreUnavailable(f"{self._node.name} is a cluster: write its address as redis+cluster://...")

    async def close(self) -> None:
        await self._node.channel.close()


class SentinelServers:
    """The master that the sentinels name; followed when they name another."""

    WATCH_SECONDS = 1.0
    """How often the sentinels are queried: so a master is noticed that was replaced while it can still be reached."""

    def __init__(self, address: Address, sentinel: Sentinel, settings: NodeSettings) -> None:
        self._service = address.service
        self._hosts = ", ".join(map(str, address.endpoints))
        self._sentinel = sentinel
        self._node = Node(str(address), self._locate, settings, master_only=True)
        self._locating = settings.dialer.timeout
        self._watcher: asyncio.Task[None] | None = None
        self._epoch = 0
        """Number of the latest failover that any sentinel has reported."""
        self.nodes = (self._node,)
        self.submit = self._node.submit

    async def open(self) -> None:
        await self._node.open(self._locating)
        self._watcher = asyncio.create_task(self._watch(), name="store sentinel watch")

    async def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._node.channel.close()

    async def _locate(self) -> Endpoint:
        """Return the master by those sentinels that know of the latest failover; others may still name the one before.

        That one may be back, not know of its own demotion yet, and take writes that are soon lost. So a failover that
        was seen is not forgotten because the sentinels that know of it are silent for a moment; only all sentinels
        together, set up anew, may name an earlier one.
        """
        states = await asyncio.gather(*map(self._master_state, self._sentinel.sentinels))
        known = [state for state in states if state is not None]
        latest = max((state["config-epoch"] for state in known), default=0)
        if latest < self._epoch and len(known) < len(states):
            raise StoreUnavailable(f"the sentinels of {self._hosts} that reply do not know of the latest failover")
        self._epoch = latest
        for state in known:
            if state["config-epoch"] == latest and self._sentinel.check_master_state(state, self._service):
                return Endpoint(state["ip"], state["port"])
        raise StoreUnavailable(f"no sentinel of {self._hosts} replies and names a master {self._service!r}")

    async def _master_state(self, sentinel: Any) -> dict[str, Any] | None:
        """Return what one sentinel knows of the master; None where it is silent, talks nonsense or knows nothing."""
        try:
            masters: dict[str, dict[str, Any]] = await sentinel.sentinel_masters()
            state = masters[self._service]
            return state if state.keys() >= _DECISIVE else None
        except Exception:  # redis-py raises whatever its parser trips over; the other sentinels may know
            return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.WATCH_SECONDS)
            try:
                master = await self._locate()
            except StoreUnavailable:  # whoever is connected stays so
                continue
            if master != self._node.channel.endpoint:
                self._node.channel.drop(f"is not the master any more, {master} is")
