"""SIGHUP: every worker is replaced, on the configuration as it is then, while no client notices."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Wire, request

pytestmark = pytest.mark.asyncio(loop_scope="package")


class Load:
    """Clients that never stop asking; each failure is kept."""

    def __init__(self, gate: Deployment, customer: Customer) -> None:
        self._gate = gate
        self._head = request("GET", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", "bytes=100")])
        self.done = 0
        self.failures: list[BaseException | int] = []
        self.over = False

    async def ask(self, wire: Wire) -> bool:
        """One request and a pause for breath; whether the connection can carry another."""
        try:
            answer = await wire.ask(self._head)
        except (EOFError, OSError) as error:
            self.failures.append(error)
            return False
        if answer.status != 200 or len(answer.body) != 100:
            self.failures.append(answer.status)
        self.done += 1
        await asyncio.sleep(0.01)
        return answer.get("connection") != "close"

    async def by_new_connections(self) -> None:
        while not self.over:
            async with await Wire.open(self._gate.address) as wire:
                await self.ask(wire)

    async def by_kept_connections(self) -> None:
        while not self.over:
            async with await Wire.open(self._gate.address) as wire:
                while not self.over and await self.ask(wire):
                    pass


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def restarted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate whose workers come and go."""
    async with deployed(tmp_path_factory.mktemp("restarted"), {"workers": 2}) as deployment:
        yield deployment


async def test_no_request_fails_while_the_workers_are_replaced(restarted: Deployment) -> None:
    gate = restarted
    customer = await gate.customer()
    load = Load(gate, customer)
    ways = (load.by_new_connections, load.by_kept_connections)
    clients = [asyncio.create_task(way()) for way in ways for _ in range(3)]
    before = set(gate.workers())
    await eventually(lambda: load.done > 50)
    configure(gate, edge={"max_body_bytes": 10})
    gate.signal(signal.SIGHUP)
    await eventually(lambda: any(line["event"] == "restarted" for line in gate.lines()))
    assert len(gate.workers()) == 2
    assert not before & set(gate.workers())
    done = load.done
    await eventually(lambda: load.done > done + 50)
    load.over = True
    await asyncio.gather(*clients)
    assert load.failures == []
    async with await Wire.open(gate.address) as wire:
        answer = await wire.ask(request("POST", "/upscale", customer.headers.items(), b"eleven byte"))
    assert answer.code == "body_too_large", "they run on the configuration as it is now"
    events = await gate.settled(load.done, customer.app)
    assert {event["outcome"] for event in events} == {"complete"}


async def test_a_wrong_configuration_changes_nothing(restarted: Deployment) -> None:
    gate = restarted
    before = gate.workers()
    configure(gate, workers="many")
    gate.signal(signal.SIGHUP)
    await eventually(lambda: any(line["event"] == "reload_refused" for line in gate.lines()))
    [refused] = [line for line in gate.lines() if line["event"] == "reload_refused"]
    assert [problem.split(":")[0] for problem in refused["problems"]] == ["workers"]
    configure(gate, workers=2)
    assert gate.workers() == before
    load = Load(gate, await gate.customer())
    async with await Wire.open(gate.address) as wire:
        await load.ask(wire)
    assert (load.done, load.failures) == (1, [])


def configure(gate: Deployment, **settings: object) -> None:
    file = gate.folder / "tollgate.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **settings}))


@pytest.mark.parametrize("change", ["restarted", "replaced"])
async def test_a_stop_while_a_worker_is_just_starting_leaves_none(tmp_path: Path, change: str) -> None:
    async with deployed(tmp_path) as gate:
        [worker] = gate.workers()
        if change == "restarted":
            gate.signal(signal.SIGHUP)
        else:
            worker.kill()
        await eventually(lambda: set(gate.workers()) - {worker} != set())
        gate.signal(signal.SIGTERM)
        assert await gate.ended() == 0
        assert gate.workers() == []
