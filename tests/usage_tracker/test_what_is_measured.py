"""Each meter says which bodies it wants measured; the stage asks it, and knows no meter by its class."""

from __future__ import annotations

import pytest

from middlewares.routes import ROUTES
from middlewares.routing.route import Route
from middlewares.routing.traits import Measure
from middlewares.usage_tracker.meters import meter_for
from tests.usage_tracker.meters.meter_runs import exchange

WITH_MEDIA = {Measure.AUDIO, Measure.RENDITIONS}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_only_sounds_and_segments_want_anything_measured(route: Route) -> None:
    meter = meter_for(exchange(route))
    assert (meter.media is not None) is (route.meter in WITH_MEDIA)
    meter.request_end()
    meter.request_end()
    if meter.media is not None:
        assert not meter.media.measuring, "without a probe, or a byte, there is nothing to wait for"
        meter.media.close()
