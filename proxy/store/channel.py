"""A connection to one node that is renewed whenever it is lost, and runs scripts there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from math import inf
from time import monotonic

from middlewares.store import Argument, Call, SharedArguments, StoreError, StoreReadOnly, StoreUnavailable
from proxy.store.address import Endpoint
from proxy.store.connection import PendingCommand, Receiver, RedisConnection, Reply, encode, encode_command
from proxy.store.dial import Dialer, ServerInfo
from proxy.store.replies import NoScript

Locate = Callable[[], Awaitable[Endpoint]]
"""Returns where the node is now; called before every connection. Raises `StoreError` where that is not known."""

Report = Callable[[str, StoreError | None], None]
"""Is told how a call went, before its receiver is: the name of its script if that writes, and the error if any."""

_BACKOFF_SECONDS = (0.05, 0.25)
"""First and longest pause between attempts to connect; each is shortened at random by up to half."""


def fixed(endpoint: Endpoint) -> Locate:
    """Return the `Locate` of a server that never moves."""

    async def locate() -> Endpoint:
        return endpoint

    return locate


def _encode_once(arguments: SharedArguments) -> tuple[bytes, ...]:
    """Return the arguments as lines of RESP, joined; empty where there are none."""
    if arguments and not arguments.encoded:
        arguments.encoded = (b"\r\n".join(encode(arguments)),)
    return arguments.encoded


@lru_cache(maxsize=1024)
def _evalsha(sha: bytes, keys: int, args: int) -> bytes:
    """Return the lines with which a call of so many keys and so many ARGV begins."""
    return _beginning(b"EVALSHA", sha, keys, args)


def _beginning(command: bytes, script: bytes, keys: int, args: int) -> bytes:
    return b"\r\n".join([b"*%d" % (3 + keys + args), *encode((command, script, keys))])


class PendingScript(PendingCommand, kw_only=True):
    """A call of a script that waits for its reply."""

    channel: Channel
    call: Call
    report: Report
    asking: bool

    def deliver(self, receiver: Receiver, reply: Reply) -> None:
        """Report how it went, then give it to `receiver`; repeat it where the node does not know the script."""
        if not isinstance(reply, StoreError):
            self.report(self.call.script.write, None)
            receiver.set_result(reply)
        elif isinstance(reply, NoScript):
            self.channel.submit_source(self, receiver)
        else:
            if isinstance(reply, StoreReadOnly):
                self.channel.demoted()
            self.report(self.call.script.write, reply)
            receiver.set_exception(reply)


class Channel:
    """One node's connection, renewed in the background. While there is none, calls fail at once.

    `on_new_server` is called whenever another server process replies than before: after a restart or a failover, the
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
        self._sent: set[bytes] = set()
        """Hashes of the scripts whose source was sent on this connection."""
        self._reason = "Redis is not connected yet"
        self._keeper: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self.server: ServerInfo | None = None
        """What the server of the last connection reports of itself."""
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
        self.drop("is not used any more: the store is closed")

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

    def submit(self, call: Call, receiver: Receiver, deadline: float, report: Report, *, asking: bool = False) -> None:
        """Run a script, by its source at first and then by its hash, and give `receiver` the reply or error.

        So no call that is sent later overtakes the first one of a script. A node that has lost it is sent it again.
        `report` is told first how it went. `asking` allows the call on a node that is only importing the keys' slot.
        """
        script, common_keys, common_args = call.script, call.common_keys, call.common_args
        keys, args = len(common_keys) + len(call.keys), len(call.args) + len(common_args)
        if script.sha in self._sent:
            beginning = _evalsha(script.sha, keys, args)
        else:
            self._sent.add(script.sha)
            beginning = _beginning(b"EVAL", script.source, keys, args)
        lines = [
            beginning,
            *(common_keys.encoded or _encode_once(common_keys)),
            *encode((*call.keys, *call.args)),
            *(common_args.encoded or _encode_once(common_args)),
            b"",
        ]
        self._send(
            b"\r\n".join(lines),
            PendingScript(receiver, deadline, channel=self, call=call, report=report, asking=asking),
        )

    def submit_source(self, pending: PendingScript, receiver: Receiver) -> None:
        """Repeat, with the script's source, a call whose hash the node does not know: nothing ran before."""
        pending.receiver = receiver
        pending.deadline = pending.expires - monotonic()
        pending.sent = pending.expires = inf
        keys, args = pending.call.all_keys, pending.call.all_args
        self._send(encode_command((b"EVAL", pending.call.script.source, len(keys), *keys, *args)), pending)

    def _send(self, command: bytes, pending: PendingScript) -> None:
        connection = self._connection
        if connection is None:
            pending.end(StoreUnavailable(self._reason))
            return
        try:
            if pending.asking:
                connection.send_without_reply((b"ASKING",))
            connection.send(command, pending)
        except StoreUnavailable as error:  # it has just gone, or its queue is full
            pending.end(error)

    def demoted(self) -> None:
        """Look for the node that is master now, once what the present one has sent is read."""
        self._loop.call_soon(self.drop, "has become a replica")

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
            self._sent.clear()
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
