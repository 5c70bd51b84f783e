"""A connection to one node that comes back by itself, and runs scripts on it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from middlewares.store import Argument, Call, Receiver, Script, SharedArguments, StoreReadOnly, StoreUnavailable
from proxy.store.address import Endpoint
from proxy.store.connection import Pending, RedisConnection, Reply, Report, encode
from proxy.store.dial import Dialer, Server
from proxy.store.replies import NoScript

Locate = Callable[[], Awaitable[Endpoint]]
"""Says where the node is now; asked before every connection. Raises `StoreError` when nobody knows."""

_BACKOFF_SECONDS = (0.05, 0.25)
"""First and longest pause between attempts to connect; each is shortened at random by up to half."""


def fixed(endpoint: Endpoint) -> Locate:
    """The `locate` of a server that stays where it is."""

    async def locate() -> Endpoint:
        return endpoint

    return locate


def _wire(words: SharedArguments) -> tuple[bytes, ...]:
    if words and not words.wire:
        words.wire = (b"\r\n".join(encode(words)),)
    return words.wire


@lru_cache(maxsize=1024)
def _evalsha(sha: bytes, keys: int, words: int) -> bytes:
    """The lines that a call begins with, of so many keys and so many words behind them."""
    return b"\r\n".join([b"*%d" % (3 + keys + words), *encode((b"EVALSHA", sha, keys))])


class Channel:
    """One node's connection, renewed in the background. While there is none, calls fail at once.

    `on_new_server` is called whenever another server process answers than before: after a restart or a failover, the
    last writes that were acknowledged may be missing there.
    """

    def __init__(
        self, locate: Locate, dialer: Dialer, on_new_server: Callable[[], None], *, master_only: bool = False
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._locate = locate
        self._dialer = dialer
        self._on_new_server = on_new_server
        self._master_only = master_only
        self._connection: RedisConnection | None = None
        self._reason = "Redis is not connected yet"
        self._keeper: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self.server: Server | None = None
        """Who answered the last connection."""
        self.endpoint: Endpoint | None = None
        """Where the last connection went."""

    def start(self) -> None:
        """Connect in the background, and stay connected from now on."""
        self._keeper = asyncio.create_task(self._keep(), name="store channel")

    async def close(self) -> None:
        """End the connection; pending calls fail."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self.drop("was let go: the store is closed")

    async def ready(self, deadline: float) -> None:
        """Wait for the connection, at most `deadline` seconds. Raises `StoreUnavailable`, saying what is missing."""
        try:
            await asyncio.wait_for(self._up.wait(), deadline)
        except TimeoutError:
            raise StoreUnavailable(self._reason) from None

    def call(self, command: Sequence[Argument], deadline: float) -> asyncio.Future[Reply]:
        """As `RedisConnection.call`."""
        if self._connection is None:
            raise StoreUnavailable(self._reason)
        return self._connection.call(command, deadline)

    def begin(self, call: Call, receiver: Receiver, deadline: float, report: Report) -> bool:
        """As `ScriptRunner.begin`; False while there is no connection that takes it. `report` hears how it went."""
        connection = self._connection
        if connection is None:
            return False
        script, common_keys, common_args = call.script, call.common_keys, call.common_args
        lines = [
            _evalsha(script.sha, len(common_keys) + len(call.keys), len(call.args) + len(common_args)),
            *(common_keys.wire or _wire(common_keys)),
            *encode((*call.keys, *call.args)),
            *(common_args.wire or _wire(common_args)),
            b"",
        ]
        try:
            connection.send(b"\r\n".join(lines), Pending(receiver, deadline, report, script.write))
        except StoreUnavailable:  # it has just gone, or its queue is full
            return False
        return True

    async def run(
        self,
        script: Script,
        keys: Sequence[Argument],
        args: Sequence[Argument],
        deadline: float,
        *,
        asking: bool = False,
    ) -> Reply:
        """Run `script` by its hash, or by its source where the node does not know it (then nothing ran before).

        `asking` allows the call on a node that is only importing the keys' slot.
        """
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(self._reason)
        expires = self._loop.time() + deadline
        try:
            if asking:
                connection.tell((b"ASKING",))
            return await connection.call((b"EVALSHA", script.sha, len(keys), *keys, *args), deadline)
        except NoScript:
            if asking:
                connection.tell((b"ASKING",))
            remaining = expires - self._loop.time()
            return await connection.call((b"EVAL", script.source, len(keys), *keys, *args), remaining)
        except StoreReadOnly:  # demoted: whoever is master now is found by connecting anew
            connection.close("has become a replica")
            raise

    def drop(self, reason: str) -> None:
        """Give up the present connection, if any, and look for the node anew."""
        if self._connection is not None:
            self._connection.close(reason)

    async def _keep(self) -> None:
        pause, longest = _BACKOFF_SECONDS
        while True:
            try:
                connection = self._connection or await self._connect()
                since = self._loop.time()
                await asyncio.wait((connection.lost,))
                self._reason = connection.lost.result()
                if self._loop.time() - since > longest:
                    pause = _BACKOFF_SECONDS[0]
            except Exception as error:  # whatever it was: a keeper that ends would leave the node lost for good
                self._reason = str(error)
            self._connection = None
            self._up.clear()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads reconnects, guards nothing
            pause = min(2 * pause, longest)

    async def _connect(self) -> RedisConnection:
        endpoint = await self._locate()
        connection, server = await self._dialer.dial(endpoint)
        if self._master_only and server.role != "master":
            connection.close("is a replica")
            raise StoreReadOnly(f"Redis at {endpoint} is a replica, not yet the master")
        changed = self.server is not None and (self.server.run_id, self.endpoint) != (server.run_id, endpoint)
        self._connection, self.server, self.endpoint = connection, server, endpoint
        self._up.set()
        if changed:
            self._on_new_server()
        return connection
