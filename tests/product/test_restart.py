"""SIGHUP replaces every worker, on the configuration as it is then, and no client notices."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, request

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


class ContinuousLoad:
    """Clients that never pause for long; each failure is kept."""

    def __init__(self, deployment: Deployment, customer: Customer) -> None:
        self._gate = deployment
        self._head = request("GET", "/stream/a.ts", [*customer.headers.items(), ("X-Mock-Gateway", "bytes=100")])
        self.done = 0
        self.failures: list[BaseException | int] = []
        self.over = False

    async def send_request(self, connection: RawConnection) -> bool:
        """Send a request and pause briefly; return True if the connection can carry another."""
        try:
            response = await connection.exchange(self._head)
        except (EOFError, OSError) as error:
            self.failures.append(error)
            return False
        if response.status != 200 or len(response.body) != 100:
            self.failures.append(response.status)
        self.done += 1
        await asyncio.sleep(0.01)
        return response.get("connection") != "close"

    async def by_new_connections(self) -> None:
        while not self.over:
            async with await RawConnection.open(self._gate.address) as connection:
                await self.send_request(connection)

    async def by_kept_connections(self) -> None:
        while not self.over:
            async with await RawConnection.open(self._gate.address) as connection:
                while not self.over and await self.send_request(connection):
                    pass


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers, which tests replace."""
    async with deployed(tmp_path_factory.mktemp("restarted"), {"workers": 2}) as deployment:
        yield deployment


@pytest.mark.slow
async def test_no_request_fails_while_the_workers_are_replaced(deployment: Deployment) -> None:
    customer = await deployment.customer()
    load = ContinuousLoad(deployment, customer)
    ways = (load.by_new_connections, load.by_kept_connections)
    clients = [asyncio.create_task(way()) for way in ways for _ in range(3)]
    before = set(deployment.workers())
    await eventually(lambda: load.done > 50)
    configure(deployment, edge={"max_body_bytes": 10})
    deployment.signal(signal.SIGHUP)
    await eventually(lambda: any(line["event"] == "restarted" for line in deployment.lines()))
    assert len(deployment.workers()) == 2
    assert not before & set(deployment.workers())
    done = load.done
    await eventually(lambda: load.done > done + 50)
    load.over = True
    await asyncio.gather(*clients)
    assert load.failures == []
    async with await RawConnection.open(deployment.address) as connection:
        response = await connection.exchange(request("POST", "/upscale", customer.headers.items(), b"eleven byte"))
    assert response.code == "body_too_large", "they run on the configuration as it is now"
    events = await deployment.settled(load.done, customer.app)
    assert {event["outcome"] for event in events} == {"complete"}


async def test_a_wrong_configuration_changes_nothing(deployment: Deployment) -> None:
    before = deployment.workers()
    configure(deployment, workers="many")
    deployment.signal(signal.SIGHUP)
    await eventually(lambda: any(line["event"] == "reload_refused" for line in deployment.lines()))
    [refused] = [line for line in deployment.lines() if line["event"] == "reload_refused"]
    assert [problem.split(":")[0] for problem in refused["problems"]] == ["workers"]
    configure(deployment, workers=2)
    assert deployment.workers() == before
    load = ContinuousLoad(deployment, await deployment.customer())
    async with await RawConnection.open(deployment.address) as connection:
        await load.send_request(connection)
    assert (load.done, load.failures) == (1, [])


def configure(deployment: Deployment, **settings: object) -> None:
    file = deployment.folder / "tollgate.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **settings}))


@pytest.mark.slow
@pytest.mark.parametrize("change", ["restarted", "replaced"])
async def test_a_stop_while_a_worker_is_just_starting_leaves_none(tmp_path: Path, change: str) -> None:
    async with deployed(tmp_path) as deployment:
        [worker] = deployment.workers()
        if change == "restarted":
            deployment.signal(signal.SIGHUP)
        else:
            worker.kill()
        await eventually(lambda: set(deployment.workers()) - {worker} != set())
        deployment.signal(signal.SIGTERM)
        assert await deployment.wait_for_exit() == 0
        assert deployment.workers() == []
