"""One Redis node as the topologies use it: a channel behind a circuit breaker."""

from collections.abc import Callable
from dataclasses import dataclass

from middlewares.store import Call, StoreError, StoreUnavailable
from proxy.store.breaker import Breaker, BreakerState
from proxy.store.channel import Channel, Locate
from proxy.store.connection import Receiver
from proxy.store.dial import Dialer


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node was lost (`state` is `open`: calls fail, mostly at once) or is back (`closed`); `cause` is why it was."""

    node: str
    state: BreakerState
    cause: str


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The settings and callbacks that all nodes of a store share.

    `on_state` is called for every node lost and back; `on_new_server` for every restart and failover, after which
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
        settings: NodeSettings,
        *,
        master_only: bool = False,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.channel = Channel(locate, settings.dialer, settings.on_new_server, master_only=master_only)
        self.breaker = Breaker(lambda state, cause: settings.on_state(NodeChange(name, state, cause)))
        self._dialer = settings.dialer
        self._on_failure = on_failure

    async def open(self, locating: float = 0.0) -> None:
        """Connect, in several attempts if need be, each of which takes `locating` seconds at most to find the node.

        Raises `StoreUnavailable`.
        """
        self.channel.start()
        try:  # the first attempt may time out, in all it does
            await self.channel.ready(2 * locating + 1.25 * self._dialer.timeout)
        except BaseException:
            await self.channel.close()
            raise

    def submit(self, call: Call, receiver: Receiver, deadline: float, *, asking: bool = False) -> None:
        """As `Channel.submit`; fails at once while the breaker is open."""
        if self.breaker.state is BreakerState.CLOSED or self.breaker.allows():
            self.channel.submit(call, receiver, deadline, self._report, asking=asking)
        else:
            receiver.set_exception(StoreUnavailable(self.breaker.cause))

    def _report(self, write: str, error: StoreError | None) -> None:
        """Tell the breaker; any reply but `StoreUnavailable` shows that the node serves."""
        if isinstance(error, StoreUnavailable):
            self.breaker.failed(str(error), write)
            self._on_failure()
        elif self.breaker.failures:
            self.breaker.succeeded(write)

    async def ping(self, deadline: float) -> None:
        """Raise `StoreError` unless the node replies within `deadline` seconds, whatever the state of the breaker."""
        await self.channel.call((b"PING",), deadline)
