"""What the network is paid for, formula by formula of the gateway contract's section 6.1."""

import pytest

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration
from middlewares.ledger.settlement.network_units import network_unit, network_units

SPEECH = Declaration(units={Unit.CHARACTERS: 4}, document={"text": "çava"})


@pytest.mark.parametrize(
    ("workload", "declared", "used", "paid"),
    [
        (
            Workload.TEXT_TO_IMAGE,
            Declaration(units={Unit.PIXELS: 3 * 512 * 512}),
            {Unit.PIXELS: 512 * 512},
            3 * 512 * 512,
        ),
        (Workload.IMAGE_TO_IMAGE, Declaration(), {Unit.PIXELS: 2 * 640 * 480}, 2 * 640 * 480),
        (Workload.IMAGE_TO_VIDEO, Declaration(), {Unit.PIXELS: 25 * 1024 * 576}, 25 * 1024 * 576),
        (Workload.UPSCALE, Declaration(), {Unit.PIXELS: 64 * 64}, 64 * 64),
        (Workload.SEGMENT_ANYTHING_2, Declaration(), {Unit.PIXELS: 64 * 64}, 64 * 64),
        (Workload.IMAGE_TO_TEXT, Declaration(), {Unit.PIXELS: 64 * 64}, 64 * 64),
        (Workload.AUDIO_TO_TEXT, Declaration(), {Unit.MILLISECONDS: 12_999}, 12_000),
        (Workload.LLM, Declaration(units={Unit.OUTPUT_TOKENS: 256}), {Unit.OUTPUT_TOKENS: 3}, 256),
        (Workload.TRANSCODING, Declaration(), {Unit.PIXELS: 426 * 240 * 60}, 426 * 240 * 60),
        (Workload.BYOC, Declaration(), {Unit.MILLISECONDS: 2_001}, 3),
        (Workload.TEXT_TO_SPEECH, SPEECH, {Unit.CHARACTERS: 4}, 5),
    ],
)
def test_formula(workload: Workload, declared: Declaration, used: dict[Unit, int], paid: int) -> None:
    assert network_units(workload, declared, {**used, Unit.REQUESTS: 1}) == paid
    assert network_units(workload, declared, used) is None, "only work that was done is known to be paid"


@pytest.mark.parametrize("workload", Workload)
def test_nothing_known(workload: Workload) -> None:
    assert network_units(workload, Declaration(), {Unit.REQUESTS: 1}) is None


def test_what_is_paid_in_other_units_is_told_apart() -> None:
    """Hazard: pixels and tokens stand in one column, as if they could be compared."""
    assert {each: network_unit(each) for each in Workload} == {
        **dict.fromkeys(Workload, "pixels"),
        Workload.AUDIO_TO_TEXT: "milliseconds",
        Workload.LLM: "tokens",
        Workload.TEXT_TO_SPEECH: "bytes",
        Workload.BYOC: "seconds",
        Workload.PLAYBACK: "",
    }
    assert network_unit("of-tomorrow") == ""
