"""A bounded pool of keep-alive connections to one gateway."""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable

from proxy.network.write_batch import WriteBatch
from proxy.upstream.connection import Body, UpstreamConnection
from proxy.upstream.errors import ConnectFailed, ConnectTimeout, PoolExhausted
from proxy.upstream.request import CHUNKED, CONTENT_LENGTH, Headers, request_head
from proxy.upstream.response import Response
from proxy.upstream.timing import Timeouts


class ConnectionPool:
    """Sends requests to one gateway over connections that are kept alive.

    Never more than ``max_connections`` sockets; requests beyond that wait in line, at most ``max_waiting`` of them and
    each no longer than ``Timeouts.queue``. Idle connections are reused last in, first out, so that a pool grown by a
    burst shrinks again. Nothing is sent twice: a gateway that closes an idle connection just as a request is written
    on it gives :class:`ConnectionDropped` with ``reused`` set.

    Args:
        host: name or address.
        port: TCP port.
        tls: None for cleartext, as go-livepeer serves (gateway contract, introduction).
        max_connections: sockets, connecting ones included.
        max_idle: sockets kept open for later.
        max_waiting: requests in line.
        keep_alive: seconds a connection may be idle; must be less than what the gateway allows. go-livepeer sets no
            limit (gateway contract, introduction), proxies in between commonly allow 75.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        max_connections: int = 1024,
        max_idle: int = 256,
        max_waiting: int = 1024,
        keep_alive: float = 60.0,
    ) -> None:
        self.origin = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host = host
        self._port = port
        self._tls = tls
        self._max_connections = max_connections
        self._max_idle = max_idle
        self._max_waiting = max_waiting
        self._keep_alive = keep_alive
        self._writing = WriteBatch()
        self._closed = False
        self._connections: set[UpstreamConnection] = set()
        self._idle: dict[UpstreamConnection, None] = {}  # an ordered set, as the next one
        self._waiters: OrderedDict[asyncio.Future[UpstreamConnection], None] = OrderedDict()

    @property
    def open(self) -> int:
        """Number of connections, connecting ones included."""
        return len(self._connections)

    @property
    def idle(self) -> int:
        """Number of connections kept open for later."""
        return len(self._idle)

    @property
    def in_use(self) -> int:
        """Number of connections with an exchange, or on the way to one."""
        return len(self._connections) - len(self._idle)

    @property
    def waiting(self) -> int:
        """Number of requests in line for a connection."""
        return len(self._waiters)

    async def send(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: Body = None,
        *,
        length: int | None = None,
        timeouts: Timeouts,
        on_send: Callable[[], None] | None = None,
    ) -> Response:
        """Send a request and return its response once status and headers have arrived.

        Args:
            method: as in :func:`request_head`.
            target: as in :func:`request_head`.
            headers: without ``content-length`` and ``transfer-encoding``, which follow from ``body``; with ``host``.
            body: None for none, bytes for a complete one, else a source of parts. A source is read while the response
                arrives, no faster than the gateway takes it, no further than the response lasts, and closed after.
                If it raises, the request stays visibly incomplete, and the reader of the response gets the error.
            length: of a source, in bytes; None to send it in chunks. 0 with no body announces an empty one.
            timeouts: limits for this exchange.
            on_send: called just before the first byte is written. A request that fails or is cancelled earlier never
                left this process.

        Raises:
            InvalidRequest: nothing was sent, and never will be.
            UpstreamError: as its subclasses say; ``request_sent`` tells how far it came.
            Exception: whatever ``body`` raised.
        """
        if isinstance(body, bytes):
            length = len(body)
        elif length == 0:
            body = b""
        framing = b""
        if body is not None:
            framing = CHUNKED if length is None else CONTENT_LENGTH % length
        head = request_head(method, target, headers, framing)
        connection = self._reuse() or await self._acquire(timeouts)
        if on_send is not None:
            on_send()
        response = connection.exchange(head, body, length, timeouts, bodiless=method == b"HEAD")
        try:
            await response.change()
        except BaseException:
            response.close()
            raise
        return response

    def close(self) -> None:
        """Close what is idle now, and the rest as soon as their exchanges end; refuse the requests in line."""
        self._closed = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(self._refusal("the pool was closed"))

    # -- a connection for a request -----------------------------------------------------------------------------

    def _reuse(self) -> UpstreamConnection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                return connection
        return None

    async def _acquire(self, timeouts: Timeouts) -> UpstreamConnection:
        try:
            async with asyncio.timeout(timeouts.queue):
                connection = await self._wait_in_line()
        except TimeoutError:
            raise self._refusal(f"no connection became free within {timeouts.queue:g} s") from None
        return connection if connection.dialled else await self._dial(connection, timeouts.connect)

    async def _wait_in_line(self) -> UpstreamConnection:
        """Return an idle connection, or a slot to dial in; first come, first served."""
        while True:
            if self._closed:
                raise self._refusal("the pool was closed")
            if len(self._connections) < self._max_connections:
                return self._slot()
            if len(self._waiters) >= self._max_waiting:
                raise self._refusal(f"all {self._max_connections} connections are in use and the queue is full")
            waiter: asyncio.Future[UpstreamConnection] = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                connection = await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                    self._give_back(waiter.result())
                raise
            finally:
                self._waiters.pop(waiter, None)
            if connection.usable or not connection.dialled:
                return connection
            # It was lost between the hand-over and this line.

    async def _dial(self, connection: UpstreamConnection, timeout: float) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(lambda: connection, self._host, self._port, ssl=self._tls)
        except BaseException as error:
            self._lost(connection)
            if isinstance(error, TimeoutError):
                raise ConnectTimeout(self.origin, f"cannot connect within {timeout:g} s") from None
            if isinstance(error, OSError | UnicodeError):
                raise ConnectFailed(self.origin, f"cannot connect: {error}") from error
            raise
        if not connection.usable:
            raise ConnectFailed(self.origin, "the connection was lost as soon as it opened")
        return connection

    # -- connections come and go --------------------------------------------------------------------------------

    def _slot(self) -> UpstreamConnection:
        connection = UpstreamConnection(
            self.origin, self._keep_alive, self._writing, on_idle=self._ready, on_lost=self._lost
        )
        self._connections.add(connection)
        return connection

    def _ready(self, connection: UpstreamConnection) -> None:
        """Give a connection that is idle to the first in line, or keep it."""
        if self._waiters and self._hand_over(connection):
            return
        if self._closed or len(self._idle) >= self._max_idle:
            connection.abort()
        else:
            self._idle[connection] = None

    def _lost(self, connection: UpstreamConnection) -> None:
        """Free the slot of a connection that is gone; a second call for the same one does nothing."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        if self._waiters:
            slot = self._slot()
            if not self._hand_over(slot):
                self._connections.discard(slot)

    def _hand_over(self, connection: UpstreamConnection) -> bool:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _give_back(self, connection: UpstreamConnection) -> None:
        if connection.usable:
            self._ready(connection)
        elif not connection.dialled:
            self._lost(connection)

    def _refusal(self, reason: str) -> PoolExhausted:
        return PoolExhausted(self.origin, reason)
