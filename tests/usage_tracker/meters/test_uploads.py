"""Work on files that were sent: the right unit, from the right source."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.workloads import Unit, Workload
from middlewares.exchange import Declaration, Exchange, Principal
from middlewares.ledger.model import Provenance, Usage
from middlewares.routes import BY_NAME
from middlewares.usage_tracker.meters import meter_for
from tests.usage_tracker.media import media_files
from tests.usage_tracker.meters.meter_runs import cuts, usage
from tests.usage_tracker.meters.uploads import FORM, IMAGE, PICTURE_WORKLOADS, PLAN, form, upload

MEASURED, UPSTREAM = Provenance.MEASURED, Provenance.UPSTREAM
DECLARED, ESTIMATED = Provenance.DECLARED, Provenance.ESTIMATED


@pytest.mark.parametrize("name", media_files.PICTURES)
def test_image_to_image(name: str) -> None:
    """Images of the input's size: so many pixels, so many generations."""
    body = form(media_files.pictures(333, 77)[name], prompt="p", model_id="m", num_images_per_prompt="2")
    found = upload(Workload.IMAGE_TO_IMAGE, [body])
    assert found.units == {Unit.PIXELS: 2 * 333 * 77, Unit.GENERATIONS: 2, Unit.REQUESTS: 1}
    assert found.provenance == {Unit.PIXELS: MEASURED, Unit.GENERATIONS: UPSTREAM, Unit.REQUESTS: MEASURED}


def test_upscale_counts_the_pixels_that_went_in() -> None:
    found = upload(Workload.UPSCALE, [form(media_files.pictures(64, 48)["rgb.png"])])
    assert found.units == {Unit.PIXELS: 64 * 48, Unit.GENERATIONS: 1, Unit.REQUESTS: 1}


@pytest.mark.parametrize("workload", [Workload.SEGMENT_ANYTHING_2, Workload.IMAGE_TO_TEXT])
def test_reading_an_image_counts_its_pixels_and_generates_none(workload: Workload) -> None:
    found = upload(workload, [form(media_files.pictures(64, 48)["baseline.jpg"])])
    assert found.units == {Unit.PIXELS: 64 * 48, Unit.REQUESTS: 1}
    assert found.provenance[Unit.PIXELS] is MEASURED


@pytest.mark.parametrize("workload", PICTURE_WORKLOADS)
def test_forged_dimensions_in_the_form_change_nothing(workload: Workload) -> None:
    body = form(media_files.pictures(64, 48)["palette.gif"], width="1", height="1", size="1x1")
    assert upload(workload, [body]).units == upload(workload, [form(media_files.pictures(64, 48)["rgb.png"])]).units


@pytest.mark.parametrize("workload", PICTURE_WORKLOADS)
@pytest.mark.parametrize("file", [b"", b"BM" + bytes(60), b"\x89PNG\r\n"])
def test_image_that_cannot_be_read_has_the_plans_pixels(workload: Workload, file: bytes) -> None:
    found = upload(workload, [form(file, width="1", height="1")])
    count = found.units.get(Unit.GENERATIONS, 1)
    assert (found.units[Unit.PIXELS], found.provenance[Unit.PIXELS]) == (777 * count, ESTIMATED)


def test_only_the_first_file_of_the_name_is_the_image() -> None:
    """As for the gateway, which takes neither a field nor another file for it."""
    large, small = media_files.pictures(333, 77)["rgb.png"], media_files.pictures(1, 1)["rgb.png"]
    decoys = form(small, name="decoy")[: -len(b"--tollgate-boundary--\r\n")]
    field = form(b"", name="x", image=small.decode("latin-1"))[: -len(b"--tollgate-boundary--\r\n")]
    after = form(small)
    before = form(large)[: -len(b"--tollgate-boundary--\r\n")]
    found = upload(Workload.UPSCALE, [decoys + field + before + after])
    assert found.units[Unit.PIXELS] == 333 * 77


@pytest.mark.parametrize("headers", [[], [(b"content-type", b"application/json")], [(b"content-type", b"\xff")]])
def test_what_is_no_form_is_estimated(headers: list[tuple[bytes, bytes]]) -> None:
    body = form(media_files.pictures(64, 48)["rgb.png"])
    assert upload(Workload.UPSCALE, [body], headers=headers).provenance[Unit.PIXELS] is ESTIMATED
    found = upload(Workload.AUDIO_TO_TEXT, [b"x" * 5_000], headers=headers)
    assert found.units[Unit.MILLISECONDS] == 5_000


@pytest.mark.parametrize(
    ("fields", "pixels"),
    [
        ({}, 1024 * 576),
        ({"width": "256", "height": "128"}, 256 * 128),
        ({"width": "0", "height": "-1"}, 1024 * 576),
        ({"width": "9" * 4_000, "height": "1e3"}, 1024 * 576),
        ({"width": "65536", "height": ""}, 65_535 * 576),
        ({"width": "+8192", "height": "0008192"}, 8192 * 8192),
    ],
)
def test_image_to_video_is_25_frames_of_the_requested_size(fields: dict[str, str], pixels: int) -> None:
    found = upload(Workload.IMAGE_TO_VIDEO, [form(media_files.pictures(64, 48)["rgb.png"], **fields)])
    assert found.units == {Unit.PIXELS: 25 * pixels, Unit.GENERATIONS: 1, Unit.REQUESTS: 1}
    assert (found.provenance[Unit.PIXELS], found.provenance[Unit.GENERATIONS]) == (DECLARED, UPSTREAM)


def test_asynchronous_video_counts_once_when_it_is_accepted() -> None:
    body = form(b"", width="256", height="128")
    found = upload(Workload.IMAGE_TO_VIDEO, [body], status=202, response=b'{"request_id":"ab12cd34"}')
    assert found.units == {Unit.PIXELS: 25 * 256 * 128, Unit.GENERATIONS: 1, Unit.REQUESTS: 1}
    assert found.provenance[Unit.GENERATIONS] is DECLARED
    for said in (b"", b"{}", b'{"images":[{}]}'):
        assert upload(Workload.IMAGE_TO_VIDEO, [body], status=202, response=said) == Usage(complete=False)


@pytest.mark.parametrize(
    ("status", "response", "complete"),
    [
        (202, {"status": "processing"}, True),
        (200, {"result": {"images": [IMAGE]}, "status": "complete"}, True),
        (200, {"result": {"error": {"message": "no"}}, "status": "complete"}, False),
        (200, {"result": {"images": []}}, False),
        (200, {}, False),
        (400, {"error": {"message": "invalid request ID"}}, True),
        (500, {}, False),
    ],
)
def test_fetching_an_asynchronous_video_uses_nothing(status: int, response: object, complete: bool) -> None:
    route = BY_NAME["image-to-video-result"]
    meter = meter_for(Exchange("id", 0.0, "POST", "/", route=route, principal=Principal("a", None, None, "p", PLAN)))
    meter.request_body(b'{"request_id":"ab12cd34"}')
    meter.response_start(status, [])
    meter.response_body(json.dumps(response).encode())
    assert meter.usage() == Usage(complete=complete)


@pytest.mark.parametrize("text", ["", "hello", "çà va 👍"])
def test_text_to_speech_counts_characters(text: str) -> None:
    declared = Declaration(units={Unit.CHARACTERS: len(text)}, document={"text": text})
    found = usage(Workload.TEXT_TO_SPEECH, [b'{"audio":{"url":"/stream/a/b.wav"}}'], declared=declared)
    assert found.units == {Unit.CHARACTERS: len(text), Unit.REQUESTS: 1}
    assert found.provenance[Unit.CHARACTERS] is DECLARED


@pytest.mark.parametrize(
    "workload",
    [*PICTURE_WORKLOADS, Workload.IMAGE_TO_VIDEO, Workload.AUDIO_TO_TEXT, Workload.TEXT_TO_SPEECH],
)
@pytest.mark.parametrize(
    "response", [b"", b"{}", b"[]", b"null", b'{"error":{"message":"x"}}', b"<html>", b'{"images":[', b'{"images":[]}']
)
def test_200_without_a_result_is_no_work(workload: Workload, response: bytes) -> None:
    assert upload(workload, [form(b"x")], response=response) == Usage(complete=False)
    for status in (0, 201, 204, 400, 500, 503):
        good = b'{"images":[{}],"text":"","masks":"","audio":{}}'
        assert not upload(workload, [form(b"x")], status=status, response=good).units


def test_response_that_cannot_be_read_counts_as_requested() -> None:
    meter = meter_for(
        Exchange(
            "id",
            0.0,
            "POST",
            "/",
            route=BY_NAME["image-to-image"],
            principal=Principal("a", None, None, "p", PLAN),
            headers=FORM,
        )
    )
    meter.request_body(form(media_files.pictures(64, 48)["rgb.png"], num_images_per_prompt="3"))
    meter.response_start(200, [(b"content-encoding", b"gzip")])
    meter.response_body(b"\x1f\x8b")
    found = meter.usage()
    assert (found.units[Unit.GENERATIONS], found.units[Unit.PIXELS]) == (3, 3 * 64 * 48)
    assert found.provenance[Unit.GENERATIONS] is DECLARED


@pytest.mark.ci
@given(st.data(), st.sampled_from(sorted(media_files.PICTURES)))
def test_cuts_do_not_matter_to_pictures(data: st.DataObject, name: str) -> None:
    body = form(media_files.pictures(333, 77)[name], prompt="p", num_images_per_prompt="2")
    for workload in PICTURE_WORKLOADS:
        assert upload(workload, data.draw(cuts(body))) == upload(workload, [body])
