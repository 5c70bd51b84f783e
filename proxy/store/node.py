"""One Redis node as the topologies use it: a channel behind a circuit breaker."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from middlewares.store import Argument, Call, Receiver, Script, StoreError, StoreUnavailable
from proxy.store.breaker import Breaker, BreakerState
from proxy.store.channel import Channel, Locate
from proxy.store.connection import Reply
from proxy.store.dial import Dialer

_CLOSED = BreakerState.CLOSED  # bound once: before Python 3.12, naming a member of an enum costs as much as a call


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node was lost (`state` is `open`: calls fail, mostly at once) or is back (`closed`); `cause` is why it was."""

    node: str
    state: BreakerState
    cause: str


@dataclass(frozen=True, slots=True)
class Wiring:
    """What all nodes of a store share.

    `on_state` hears of every node lost and back; `on_new_server` of every restart and failover, after which
    acknowledged writes of the last seconds may be missing.
    """

    dialer: Dialer
    on_state: Callable[[NodeChange], None]
    on_new_server: Callable[[], None]


class Node:
    """Runs scripts on one node; `on_failure` is called whenever it cannot serve."""

    def __init__(
        self,
        name: str,
        locate: Locate,
        wiring: Wiring,
        *,
        master_only: bool = False,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.channel = Channel(locate, wiring.dialer, wiring.on_new_server, master_only=master_only)
        self.breaker = Breaker(lambda state, cause: wiring.on_state(NodeChange(name, state, cause)))
        self._dialer = wiring.dialer
        self._on_failure = on_failure

    async def open(self) -> None:
        """Connect, in several attempts if need be. Raises `StoreUnavailable`."""
        self.channel.start()
        try:
            await self.channel.ready(1.25 * self._dialer.timeout)  # so that the first one may time out
        except BaseException:
            await self.channel.close()
            raise

    def begin(self, call: Call, receiver: Receiver, deadline: float) -> bool:
        """As `ScriptRunner.begin`; False unless the breaker is closed."""
        return self.breaker.state is _CLOSED and self.channel.begin(call, receiver, deadline, self._report)

    async def run(
        self,
        script: Script,
        keys: Sequence[Argument],
        args: Sequence[Argument],
        deadline: float,
        *,
        asking: bool = False,
    ) -> Reply:
        """As `Channel.run`; fails at once while the breaker is open."""
        if not self.breaker.allows():
            raise StoreUnavailable(self.breaker.cause)
        write = script.write
        try:
            reply = await self.channel.run(script, keys, args, deadline, asking=asking)
        except StoreUnavailable as error:
            self._failed(error, write)
            raise
        except StoreError:  # an answer, if not the one that was hoped for
            self.breaker.succeeded(write)
            raise
        self.breaker.succeeded(write)
        return reply

    def _report(self, write: str, error: StoreError | None) -> None:
        if isinstance(error, StoreUnavailable):
            self._failed(error, write)
        else:
            self.breaker.succeeded(write)

    def _failed(self, error: StoreUnavailable, write: str) -> None:
        self.breaker.failed(str(error), write)
        self._on_failure()

    async def ping(self, deadline: float) -> None:
        """Raise `StoreError` unless the node answers within `deadline` seconds, whatever the breaker thinks."""
        await self.channel.call((b"PING",), deadline)
