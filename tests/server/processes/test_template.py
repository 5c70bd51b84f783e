"""Hazard: a process that dies, the template among them. Requests that nobody serves, processes that nobody ends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest
import pytest_asyncio

from tests.support.deployment import Deployment, deployed, eventually

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path_factory.mktemp("processes"), {"workers": 2}) as running:
        yield running


def titled(deployment: Deployment, name: str) -> list[psutil.Process]:
    """Return the living processes with the title of that name."""
    found = []
    for process in deployment.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if f"tollgate: {name}" in " ".join(process.cmdline()):
                found.append(process)
    return found


def worker_ids(deployment: Deployment) -> set[int]:
    return {worker.pid for worker in deployment.workers()}


def said(deployment: Deployment, event: str, offset: int) -> list[dict[str, object]]:
    return [line for line in deployment.lines(offset) if line["event"] == event]


def started(deployment: Deployment, before: set[int]) -> int:
    """Return how many workers that were not there before take requests."""
    events = {line["event"] for line in deployment.lines()}
    return sum(f"Started server process [{pid}]" in events for pid in worker_ids(deployment) - before)


async def serves(deployment: Deployment) -> bool:
    """Return True if several new connections, which fall to either worker, are served."""
    async with httpx.AsyncClient(base_url=deployment.public, headers={"connection": "close"}) as client:
        return all([(await client.get("/api/v1/none")).status_code == 404 for _ in range(8)])


async def test_a_dead_worker_is_replaced_and_its_exit_code_told(deployment: Deployment) -> None:
    offset, before = deployment.log.stat().st_size, worker_ids(deployment)
    victim = deployment.workers()[0]
    victim.kill()
    await eventually(lambda: started(deployment, before) == 1)
    [line] = said(deployment, "worker_died", offset)
    assert (line["pid"], line["code"]) == (victim.pid, -9)
    assert await serves(deployment)


async def test_a_dead_archiver_is_replaced(deployment: Deployment) -> None:
    await eventually(lambda: len(titled(deployment, "archiver")) == 1)
    offset, [victim] = deployment.log.stat().st_size, titled(deployment, "archiver")
    victim.kill()
    await eventually(lambda: [each.pid for each in titled(deployment, "archiver")] not in ([], [victim.pid]))
    [line] = said(deployment, "process_died", offset)
    assert (line["process"], line["pid"], line["code"]) == ("archiver", victim.pid, -9)


@pytest.mark.slow
async def test_without_its_template_every_process_goes_on_and_is_replaced_when_it_dies(deployment: Deployment) -> None:
    offset, before = deployment.log.stat().st_size, worker_ids(deployment)
    [template] = titled(deployment, "template")
    template.kill()
    await eventually(lambda: template not in titled(deployment, "template"))
    assert await serves(deployment)
    assert worker_ids(deployment) == before
    victims = deployment.workers()
    for victim in victims:
        victim.kill()
    await eventually(lambda: started(deployment, before) == 2)
    assert [line["code"] for line in said(deployment, "worker_died", offset)] == [None, None]
    [line] = said(deployment, "process_died", offset)
    assert (line["process"], line["pid"], line["code"]) == ("template", template.pid, -9)
    await eventually(lambda: len(titled(deployment, "template")) == 1)
    await eventually(lambda: serves(deployment))


@pytest.mark.slow
async def test_a_worker_that_does_not_drain_is_killed(deployment: Deployment) -> None:
    """Every process ends with its supervisor, one that takes no signal by SIGKILL."""
    frozen = titled(deployment, "archiver")[0]
    frozen.suspend()
    await deployment.stop()
    assert not deployment.processes()
