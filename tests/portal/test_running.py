"""What runs now is shown since it began. Hazard: a stream of hours looks as if it had begun with its last tick."""

from __future__ import annotations

from datetime import UTC, datetime

from ulid import ULID

from config.workloads import Workload
from middlewares.ledger.model import Hold
from proxy.portal.tenant.limits import RunningRequest, oldest_first

MORNING, NOW = (datetime(2026, 11, 30, hour, tzinfo=UTC) for hour in (8, 12))


def hold(request_id: str, started: datetime, part: int = 0) -> Hold:
    """Return what is reserved for a request, or for the tick of a stream."""
    live, ms = Workload.LIVE_VIDEO_TO_VIDEO, int(started.timestamp() * 1_000)
    return Hold(request_id, "app_a", None, None, "p@1", live, "", ms, part=part, stream="cam" if part else "")


def test_a_stream_has_run_since_it_began() -> None:
    id_ = str(ULID.from_datetime(MORNING))
    stream = hold(f"{id_}-9", NOW, part=9)
    assert RunningRequest(stream).started == MORNING
    assert RunningRequest(hold(id_, NOW)).started == NOW, "a request since it was admitted"
    other = hold("of another version-2", NOW, part=2)
    assert RunningRequest(other).started == NOW
    before = hold("request", datetime(2026, 11, 30, 9, tzinfo=UTC))
    assert [each.hold for each in oldest_first([before, stream])] == [stream, before]
