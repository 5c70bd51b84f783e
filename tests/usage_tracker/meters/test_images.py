"""text-to-image: images that came out, at the requested size."""

import json

import pytest

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration
from middlewares.ledger.model import Provenance
from tests.usage_tracker.meters.meter_runs import usage

IMAGE = {"url": "/stream/ab12cd34/x.png", "seed": 1, "nsfw": False}


def _response(count: int) -> bytes:
    return json.dumps({"images": [IMAGE] * count}).encode()


def test_images_of_the_response_at_the_size_of_the_request() -> None:
    declared = Declaration(document={"width": 1024, "height": 576, "num_images_per_prompt": 4})
    found = usage(Workload.TEXT_TO_IMAGE, [_response(3)], declared=declared)
    assert found.complete
    assert found.units == {Unit.PIXELS: 1024 * 576 * 3, Unit.GENERATIONS: 3, Unit.REQUESTS: 1}
    assert found.provenance == {
        Unit.PIXELS: Provenance.DECLARED,
        Unit.GENERATIONS: Provenance.UPSTREAM,
        Unit.REQUESTS: Provenance.MEASURED,
    }


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"width": None, "height": 0},
        {"width": -5, "height": "9"},
        {"width": 1.5, "height": True},
        {"width": [], "height": {}},
    ],
)
def test_sizes_that_say_nothing_are_the_default(document: dict[str, object] | None) -> None:
    found = usage(Workload.TEXT_TO_IMAGE, [_response(1)], declared=Declaration(document=document))
    assert found.units[Unit.PIXELS] == 512 * 512


def test_response_in_an_encoding_counts_as_requested() -> None:
    declared = Declaration(document={"num_images_per_prompt": 2})
    headers = [(b"content-encoding", b"gzip")]
    found = usage(Workload.TEXT_TO_IMAGE, [b"\x1f\x8b..."], headers=headers, declared=declared)
    assert (found.units[Unit.GENERATIONS], found.units[Unit.PIXELS]) == (2, 2 * 512 * 512)
    assert found.provenance[Unit.GENERATIONS] is Provenance.DECLARED
    assert found.complete
