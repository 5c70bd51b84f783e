"""What is known of a request, wherever it is: in a ring, a hold, a stream or the history; never another app's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import time_ns
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
from sqlalchemy import Connection
from ulid import ULID

from config.explain import Explain
from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.json_codec import to_json
from middlewares.ledger.model import Hold
from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.archiver import ExplainArchiver
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.explain.facts import RequestFacts, find_app, read_facts
from proxy.reporting.explain.prices import event_prices
from proxy.store.store import Store
from tests.history.conftest import archive, redis_server, store
from tests.history.fakes import Archive, event

__all__ = ["archive", "redis_server", "store"]

P = ParamSpec("P")
T = TypeVar("T")

NOW = time_ns() // 1_000_000
PLAN = Plan.model_validate({"billing": "usage", "prices": [{"unit": "requests", "amount": 7}]})
CHANGED = Plan.model_validate({"billing": "usage", "prices": [{"unit": "requests", "amount": 8}]})


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    opened = History.at(f"sqlite:///{tmp_path}/history.sqlite")
    await opened.upgrade()
    yield opened
    await opened.close()


def refusal(request_id: str, app: str = "app_one") -> RefusalRecord:
    return RefusalRecord(
        id=request_id,
        time=NOW,
        app=app,
        user=None,
        key="key",
        plan=f"plan@{PLAN.version}",
        stage="rate_limit",
        code="rate_limited",
        status=429,
        detail="too fast",
    )


async def put_refusal(archive: Archive, request_id: str) -> None:
    record = refusal(request_id)
    await archive.client.xadd(archive.keys.refusals(record.app), {"refusal": to_json(record)})
    await archive.client.sadd(archive.keys.shared(archive.keys.tag(record.app)).refused, record.app)


async def archive_refusals(archive: Archive) -> None:
    await ExplainArchiver(archive.client, archive.keys, archive.history, Explain(), {"plan": PLAN}).advance()


async def facts(archive: Archive, wanted: str, app: str = "app_one") -> RequestFacts | None:
    return await read_facts(archive.sources, {"plan": CHANGED}, app, wanted)


async def test_a_refusal_is_found_before_and_after_it_is_archived(archive: Archive) -> None:
    request_id = str(ULID())
    await put_refusal(archive, request_id)
    for _ in range(2):
        found = await facts(archive, request_id)
        assert found is not None
        assert found.refusal == refusal(request_id)
        assert await facts(archive, request_id, "app_two") is None
        assert await find_app(archive.sources, request_id) == "app_one"
        await archive_refusals(archive)


class MovingHistory(History):
    """A history between whose reads an archiver moves events."""

    archive: Archive
    read_first: int

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        found = await super().read(work, *args, **kwargs)
        self.read_first -= 1
        if self.read_first == 0:
            assert await self.archive.advance()
        return found


async def test_the_app_of_an_event_is_found_while_it_moves_to_the_history(archive: Archive, tmp_path: Path) -> None:
    """Hazard: it is looked for in the history before it is there, and in the stream when it is not there any more."""
    moving = MovingHistory.at(f"sqlite:///{tmp_path}/history.sqlite")
    assert isinstance(moving, MovingHistory)
    moving.archive = archive
    sources = LedgerSources(archive.client, archive.keys, moving)
    for reads in range(1, 2 * len(archive.keys.tags)):
        request_id = str(ULID())
        await archive.add(event(id=request_id, time=NOW))
        moving.read_first = reads
        assert await find_app(sources, request_id) == "app_one"
    await moving.close()


async def test_an_event_is_found_and_priced_by_a_version_that_is_not_in_force(archive: Archive) -> None:
    request_id = str(ULID())
    await archive_refusals(archive)
    named = f"plan@{PLAN.version}"
    await archive.add(event(id=request_id, time=NOW, plan=named, units={Unit.REQUESTS: 1}), 7)
    for _ in range(2):
        found = await facts(archive, request_id)
        assert found is not None
        assert found.plans[named] is not None
        [price] = event_prices(found.events, found.plans)
        assert price.agrees is True
        assert await facts(archive, request_id, "app_two") is None
        assert await find_app(archive.sources, request_id) == "app_one"
        assert await archive.advance()


async def test_a_version_that_nobody_has_written_down_is_not_known(archive: Archive) -> None:
    request_id = str(ULID())
    await archive.add(event(id=request_id, plan="plan@00000000"), 7)
    found = await facts(archive, request_id)
    assert found is not None
    assert found.plans == {"plan@00000000": None}


async def test_ticks_and_adjustments_are_of_their_request(archive: Archive) -> None:
    request_id, other = str(ULID()), str(ULID())
    for part in (2, 1, 3):
        await archive.add(event(id=f"{request_id}-{part}", part=part), 1)
    await archive.add(event(id=f"{request_id}-1-resolution", part=1, type="adjustment"), -1)
    await archive.add(event(id=other), 1)
    for wanted in (request_id, f"{request_id}-2"):
        found = await facts(archive, wanted)
        assert found is not None
        ids = [each.event.id for each in found.events]
        assert ids == [f"{request_id}-{end}" for end in ("1", "1-resolution", "2", "3")]
        assert await find_app(archive.sources, wanted) == "app_one"


async def test_a_hold_is_found_while_its_request_runs(archive: Archive, store: Store) -> None:
    request_id = str(ULID())
    hold = Hold(request_id, "app_one", None, None, "plan@1", Workload.LLM, "m", 0, estimate="9")
    shared = archive.keys.shared(archive.keys.tag("app_one"))
    redis: Any = store.redis
    await redis.hset(shared.bodies, request_id, to_json(hold))
    await redis.zadd(shared.holds, {request_id: 1_790_000_000_000})
    found = await facts(archive, request_id)
    assert found is not None
    assert found.open_hold is not None
    assert (found.open_hold.hold.estimate, found.open_hold.expires_ms) == ("9", 1_790_000_000_000)
    assert await find_app(archive.sources, request_id) == "app_one"


@pytest.mark.parametrize(
    "wanted", ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "nothing", "%", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "-", "\x00"]
)
async def test_nothing_is_known_of_any_other_id(archive: Archive, wanted: str) -> None:
    await archive.add(event(), 1)
    assert await facts(archive, wanted) is None
    assert await find_app(archive.sources, wanted) is None
