"""The servers behind an address: one, or the master that sentinels name, or the masters of a cluster."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from middlewares.store import Argument, Call, Receiver, Script, StoreUnavailable
from proxy.store.address import Address, Endpoint
from proxy.store.channel import Locate
from proxy.store.connection import Reply
from proxy.store.node import Node, Wiring


class Servers(Protocol):
    """One shape of deployment. Every call takes its deadline in seconds and raises `StoreError`."""

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

    async def run(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], deadline: float) -> Reply:
        """Run `script` on the node that holds `keys`."""
        ...

    def begin(self, call: Call, receiver: Receiver, deadline: float) -> bool:
        """As `ScriptRunner.begin`, on the node that holds `keys`."""
        ...


class Single:
    """One server, found by `locate` (which, for the embedded one, also sees to it that it runs)."""

    def __init__(self, name: str, locate: Locate, wiring: Wiring) -> None:
        self._node = Node(name, locate, wiring)
        self.nodes = (self._node,)
        self.run = self._node.run
        self.begin = self._node.begin

    async def open(self) -> None:
        await self._node.open()
        server = self._node.channel.server
        if server is not None and server.mode == "cluster":
            await self.close()
            raise StoreUnavailable(f"{self._node.name} is a cluster: write its address as redis+cluster://...")

    async def close(self) -> None:
        await self._node.channel.close()


class Sentinels:
    """The master that the sentinels name; followed when they name another."""

    WATCH_SECONDS = 1.0
    """How often the sentinels are asked, which catches a master that was replaced while we could still reach it."""

    def __init__(self, address: Address, sentinel: Sentinel, wiring: Wiring) -> None:
        self._service = address.service
        self._hosts = ", ".join(map(str, address.endpoints))
        self._sentinel = sentinel
        self._node = Node(str(address), self._locate, wiring, master_only=True)
        self._watcher: asyncio.Task[None] | None = None
        self._epoch = 0
        """Of the latest failover that any sentinel has told of."""
        self.nodes = (self._node,)
        self.run = self._node.run
        self.begin = self._node.begin

    async def open(self) -> None:
        await self._node.open()
        self._watcher = asyncio.create_task(self._watch(), name="store sentinel watch")

    async def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._node.channel.close()

    async def _locate(self) -> Endpoint:
        """The master as the sentinels know it that have heard of the latest failover; others may still name the last.

        Such a one may be back, not know of its own fall yet, and take writes that are soon lost. So a failover that was
        heard of is not forgotten because those that know of it are silent for a moment; only all sentinels together,
        set up anew, may name an earlier one.
        """
        asked = await asyncio.gather(*map(self._ask, self._sentinel.sentinels))
        known = [state for state in asked if state is not None]
        latest = max((state["config-epoch"] for state in known), default=0)
        if latest < self._epoch and len(known) < len(asked):
            raise StoreUnavailable(f"the sentinels of {self._hosts} that answer have not heard of the latest failover")
        self._epoch = latest
        for state in known:
            if state["config-epoch"] == latest and self._sentinel.check_master_state(state, self._service):
                return Endpoint(state["ip"], state["port"])
        raise StoreUnavailable(f"no sentinel of {self._hosts} answers and names a master {self._service!r}")

    async def _ask(self, sentinel: Any) -> dict[str, Any] | None:
        """What one sentinel knows of the master; None where it does not answer or knows nothing."""
        try:
            masters: dict[str, dict[str, Any]] = await sentinel.sentinel_masters()
        except (RedisError, OSError):
            return None
        return masters.get(self._service)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.WATCH_SECONDS)
            try:
                master = await self._locate()
            except StoreUnavailable:  # whoever is connected stays so
                continue
            if master != self._node.channel.endpoint:
                self._node.channel.drop(f"is not the master any more, {master} is")
