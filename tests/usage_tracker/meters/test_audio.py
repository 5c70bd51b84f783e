"""The length of a sound is what its frames hold, measured outside the worker; what is not measured is estimated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration
from middlewares.ledger.model import Provenance, Usage
from middlewares.ledger.settlement.network_units import network_units
from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, MediaTools, Spool, Verdict
from middlewares.usage_tracker.meters.audio import AudioMeter
from proxy.media_probe.pool import ProbePool
from proxy.media_probe.spool import SpoolFolder
from tests.usage_tracker.media import media_files
from tests.usage_tracker.meters.uploads import FORM, form

BYTES_PER_SECOND = 1_000
RESPONSE = b'{"chunks":[],"text":""}'


class FixedProbe:
    """Measures every sound alike."""

    def __init__(self, measure: MediaMeasure) -> None:
        self.found = measure
        self.bodies: list[bytes | int | None] = []

    async def measure(self, kind: MediaKind, spool: Spool) -> MediaMeasure:
        assert kind is MediaKind.AUDIO
        self.bodies.append(await spool.contents())
        return self.found


class StuckProbe:
    """Measures nothing, for ever."""

    def __init__(self) -> None:
        self.given_up = False

    async def measure(self, kind: MediaKind, spool: Spool) -> MediaMeasure:
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up = True
        raise AssertionError


@pytest.fixture
def spools(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path, kept_bytes=1 << 20)


async def transcribed(meter: AudioMeter, body: bytes, response: bytes = RESPONSE) -> Usage:
    """Return what the meter counts of an upload and the response to it."""
    for start in range(0, len(body), 65_536):
        meter.request_body(body[start : start + 65_536])
    meter.request_end()
    meter.response_start(200, [])
    meter.response_body(response)
    await meter.media.measured()
    found = meter.usage()
    meter.media.close()
    return found


def milliseconds(count: int, source: Provenance, *, attention: bool = False) -> Usage:
    units = {Unit.MILLISECONDS: count, Unit.REQUESTS: 1}
    return Usage(units, {Unit.MILLISECONDS: source, Unit.REQUESTS: Provenance.MEASURED}, attention=attention)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (MediaMeasure(Verdict.MEASURED, 7_250), milliseconds(7_250, Provenance.MEASURED)),
        (MediaMeasure(Verdict.MEASURED, 0), milliseconds(0, Provenance.MEASURED)),
        (MediaMeasure(Verdict.GAVE_UP, 9_000), milliseconds(9_000, Provenance.ESTIMATED, attention=True)),
        (MediaMeasure(Verdict.GAVE_UP, 1), milliseconds(5_000, Provenance.ESTIMATED, attention=True)),
        (MediaMeasure(Verdict.UNREADABLE), milliseconds(5_000, Provenance.ESTIMATED)),
        (MediaMeasure(Verdict.NOT_MEASURED), milliseconds(5_000, Provenance.ESTIMATED)),
    ],
)
async def test_what_is_not_measured_is_estimated(spools: SpoolFolder, measure: MediaMeasure, expected: Usage) -> None:
    probe = FixedProbe(measure)
    meter = AudioMeter(FORM, BYTES_PER_SECOND, MediaTools(spools, probe))
    assert await transcribed(meter, form(b"x" * 5_000, name="audio", prompt="p")) == expected
    assert probe.bodies == [b"x" * 5_000]
    assert spools.kept == 0


@pytest.mark.parametrize(
    ("counted", "claimed", "charged"),
    [(9_000, 20_000, 20_000), (9_000, 60, 9_000), (1, 60, 5_000), (9_000, 2**40, 50_000), (9_000, None, 9_000)],
    ids=["claims more", "claims less than was counted", "less than its size", "beyond belief", "claims nothing"],
)
async def test_a_file_that_is_slow_to_decode_costs_what_it_says_of_itself(
    spools: SpoolFolder, counted: int, claimed: int | None, charged: int
) -> None:
    """Hazard: a client crafts a file of which the budget counts little, though the gateway works on all of it."""
    measure = MediaMeasure(Verdict.GAVE_UP, counted, claimed_milliseconds=claimed)
    meter = AudioMeter(FORM, BYTES_PER_SECOND, MediaTools(spools, FixedProbe(measure)))
    used = await transcribed(meter, form(b"x" * 5_000, name="audio"))
    assert (used.units[Unit.MILLISECONDS], used.attention) == (charged, True)
    assert used.provenance[Unit.MILLISECONDS] is Provenance.ESTIMATED


@pytest.mark.parametrize("claimed", [60, 8_000, None])
async def test_the_network_is_paid_by_what_the_container_claims(spools: SpoolFolder, claimed: int | None) -> None:
    """go-livepeer asks its FFmpeg for the container's duration; what is sold is what the frames hold."""
    measure = MediaMeasure(Verdict.MEASURED, 7_250, container_milliseconds=claimed)
    meter = AudioMeter(FORM, BYTES_PER_SECOND, MediaTools(spools, FixedProbe(measure)))
    used = await transcribed(meter, form(b"x", name="audio"))
    assert used.units[Unit.MILLISECONDS] == 7_250
    paid = network_units(Workload.AUDIO_TO_TEXT, Declaration(), {**used.units, **used.network})
    assert paid == {60: 0, 8_000: 8_000, None: 7_000}[claimed]


async def test_a_body_that_ends_twice_is_measured_once(spools: SpoolFolder) -> None:
    probe = FixedProbe(MediaMeasure(Verdict.MEASURED, 1))
    meter = AudioMeter(FORM, BYTES_PER_SECOND, MediaTools(spools, probe))
    meter.request_body(form(b"x", name="audio"))
    meter.request_end()
    meter.request_end()
    await meter.media.measured()
    assert probe.bodies == [b"x"]


async def test_without_a_probe_all_is_estimated() -> None:
    meter = AudioMeter(FORM, BYTES_PER_SECOND, None)
    assert await transcribed(meter, form(b"x" * 5_000, name="audio")) == milliseconds(5_000, Provenance.ESTIMATED)


@pytest.mark.parametrize("response", [b"", b"{}", b'{"error":{"message":"x"}}'])
async def test_failed_work_is_not_paid_for_whatever_was_measured(spools: SpoolFolder, response: bytes) -> None:
    meter = AudioMeter(FORM, BYTES_PER_SECOND, MediaTools(spools, FixedProbe(MediaMeasure(Verdict.MEASURED, 7_250))))
    assert await transcribed(meter, form(b"x", name="audio"), response) == Usage(complete=False)


async def test_only_the_first_file_of_the_name_is_measured(spools: SpoolFolder) -> None:
    probe = FixedProbe(MediaMeasure(Verdict.MEASURED, 1))
    meter = AudioMeter(FORM, BYTES_PER_SECOND, MediaTools(spools, probe))
    first, second = form(b"one", name="audio"), form(b"two", name="audio")
    end = first.rindex(b"--tollgate")
    await transcribed(meter, first[:end] + second)
    assert probe.bodies == [b"one"]


async def test_a_measurement_that_nobody_waits_for_is_given_up(spools: SpoolFolder) -> None:
    """The worker is stopped: the request is settled by what is known, and nothing is left behind."""
    probe = StuckProbe()
    meter = AudioMeter(FORM, BYTES_PER_SECOND, MediaTools(spools, probe))
    meter.request_body(form(b"x" * 5_000, name="audio"))
    meter.request_end()
    meter.response_start(200, [])
    meter.response_body(RESPONSE)
    waiting = asyncio.create_task(meter.media.measured())
    await asyncio.sleep(0)
    waiting.cancel()
    assert meter.usage() == milliseconds(5_000, Provenance.ESTIMATED)
    meter.media.close()
    await asyncio.gather(waiting, return_exceptions=True)
    assert probe.given_up
    assert spools.kept == 0


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[MediaTools]:
    spools, probe = SpoolFolder(tmp_path), ProbePool()
    yield MediaTools(spools, probe)
    await probe.close()
    spools.close()


@pytest.mark.ci
async def test_sounds_are_as_long_as_they_last(tools: MediaTools) -> None:
    for name, data in media_files.one_per_container().items():
        meter = AudioMeter(FORM, BYTES_PER_SECOND, tools)
        found = await transcribed(meter, form(data, name="audio", metadata='{"duration":"1"}'))
        assert abs(found.units[Unit.MILLISECONDS] - 1000 * media_files.seconds(name)) < 50, name
        assert found.provenance[Unit.MILLISECONDS] is Provenance.MEASURED, name
