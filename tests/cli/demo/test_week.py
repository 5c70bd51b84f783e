"""The past of the demo is a week, of both tenants, and the same each time."""

from __future__ import annotations

from itertools import pairwise

from config.settings import Settings
from config.workloads import Unit
from proxy.cli.demo.plans import PLANS
from proxy.cli.demo.week import DAYS, past_requests

NOW = 1_795_000_000_000


def test_a_week_of_requests_of_both_tenants() -> None:
    found = past_requests(NOW)
    assert found == past_requests(NOW)
    assert all(one.time_ms <= two.time_ms for one, two in pairwise(found))
    assert NOW - (DAYS + 1) * 86_400_000 < found[0].time_ms <= found[-1].time_ms < NOW
    assert len({(each.tenant, each.who) for each in found}) == 8
    assert len({each.workload for each in found}) == 3
    assert {each.outcome for each in found} == {"complete", "client_disconnect", "upstream_error"}
    assert all(set(each.units) == {Unit.REQUESTS} for each in found if each.outcome != "complete")


def test_the_plans_of_the_demo_are_plans() -> None:
    settings = Settings.model_validate({"plans": PLANS})
    assert all(settings.plans[name].prices for name in PLANS)
