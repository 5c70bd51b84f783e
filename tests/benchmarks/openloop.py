"""Latency at a constant rate, in a process of its own: `python -m tests.benchmarks.openloop < orders`.

The send times are fixed beforehand, and latency counts from them: a request that has to wait because the server is
late with others is slow, not absent (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque

import msgspec
import uvloop

from tests.benchmarks.client import KeepAliveConnection, request
from tests.benchmarks.programs import Candidate, Failed, output_of
from tests.benchmarks.timer import Timer

ENDING_SECONDS = 15.0
"""Seconds that the last responses may take."""
_STARTING_SECONDS = 15.0


class Orders(msgspec.Struct):
    """Request to send, and its rate. The responses to the first `warm_up` requests do not count."""

    port: int
    key: str
    path: str
    body: bytes
    rate: float
    requests: int
    warm_up: int
    connections: int = 128


class Result(msgspec.Struct):
    """Latencies in milliseconds from the time a request was due."""

    first_p50: float
    first_p99: float
    """To the first byte of the response's body."""
    p50: float
    p99: float
    """To its end."""
    late_p99: float
    """To the sending of requests that found a free connection: the generator's own fault."""


class Generator:
    """Generator of requests on time, over the connection that has been idle the longest."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._request = request("POST", orders.path, orders.body, orders.key)
        self._period = round(1e9 / orders.rate)
        self._idle: deque[KeepAliveConnection] = deque()
        self._waiting: deque[int] = deque()
        self._due = 0
        self._first: list[int] = []
        self._whole: list[int] = []
        self._late: list[int] = []
        self._done = asyncio.get_running_loop().create_future()

    async def run(self) -> Result:
        """Send every request; return the latencies. Raises `Failed` when responses are errors or do not come."""
        orders = self._orders
        for _ in range(orders.connections):
            self._idle.append(await KeepAliveConnection.open(orders.port, self._begun, self._complete, self._lost))
        opened = list(self._idle)
        timer = Timer(self._period)
        self._start = timer.start
        loop = asyncio.get_running_loop()
        loop.add_reader(timer.fileno(), self._tick, timer)
        try:
            async with asyncio.timeout(orders.requests / orders.rate + ENDING_SECONDS):
                await self._done
        except TimeoutError:
            raise Failed(f"{orders.requests - len(self._whole)} of {orders.requests} responses did not come") from None
        finally:
            loop.remove_reader(timer.fileno())
            timer.close()
            for connection in opened:
                connection.close()
        warm = orders.warm_up
        first, whole, late = (sorted(each[warm:]) for each in (self._first, self._whole, self._late))
        return Result(
            quantile(first, 0.5),
            quantile(first, 0.99),
            quantile(whole, 0.5),
            quantile(whole, 0.99),
            quantile(late, 0.99),
        )

    def _tick(self, timer: Timer) -> None:
        last = min(self._due + timer.passed(), self._orders.requests)
        while self._due < last:
            due = self._start + self._due * self._period
            self._due += 1
            if self._idle:
                self._late.append(time.monotonic_ns() - due)
                self._send(self._idle.popleft(), due)
            else:
                self._waiting.append(due)

    def _send(self, connection: KeepAliveConnection, due: int) -> None:
        connection.due = due
        try:
            connection.send(self._request)
        except Failed as error:
            self._fail(str(error))

    def _begun(self, connection: KeepAliveConnection) -> None:
        self._first.append(time.monotonic_ns() - connection.due)

    def _complete(self, connection: KeepAliveConnection) -> None:
        if connection.status != 200:
            self._fail(f"a response was {connection.status}")
            return
        self._whole.append(time.monotonic_ns() - connection.due)
        if len(self._whole) == self._orders.requests:
            self._done.set_result(None)
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _lost(self, _: KeepAliveConnection) -> None:
        self._fail("the server closed a connection")

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(Failed(why))


def quantile(values: list[int], share: float) -> float:
    """Return a quantile of sorted nanoseconds, in milliseconds; 0 if there are none."""
    return values[min(len(values) - 1, int(len(values) * share))] / 1e6 if values else 0.0


async def measure(candidate: Candidate, path: str, body: bytes, rate: float, seconds: float) -> Result:
    """Load `candidate` from another process, one second longer than `seconds` for warming up. Raises `Failed`."""
    count = max(1, round(rate))
    orders = Orders(candidate.port, candidate.keys[0], path, body, rate, count + round(rate * seconds), count)
    command = (sys.executable, "-m", "tests.benchmarks.openloop")
    allowed = seconds + 1 + ENDING_SECONDS + _STARTING_SECONDS
    output = await output_of(*command, stdin=msgspec.json.encode(orders), seconds=allowed)
    return msgspec.json.decode(output, type=Result)


async def main() -> None:
    """Read the orders, print the result."""
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    gc.disable()
    try:
        result = await Generator(orders).run()
    except Failed as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    uvloop.run(main())
