"""Unchanged gateway clients work with a key added and nothing else changed."""

import asyncio
import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from livepeer_ai import Livepeer

from middlewares.tenancy.names import at_gateway
from proxy.mock_gateway.media import png, ts, wav
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.raw_http import RawConnection, chunk

pytestmark = pytest.mark.asyncio(loop_scope="package")

PNG = png(48, 32)
SEGMENT = ts(50_000)
PIECES = [SEGMENT[start : start + 7_777] for start in range(0, len(SEGMENT), 7_777)]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def use_every_route(url: str, key: str) -> None:
    """Use the official client as its documentation shows: a server, a bearer, and its own defaults."""
    picture = {"file_name": "a.png", "content": PNG}
    with Livepeer(server_url=url, http_bearer=key) as livepeer:
        generate = livepeer.generate
        made = generate.text_to_image(request={"model_id": "m", "prompt": "p", "width": 64, "height": 64})
        assert made.image_response is not None
        assert made.image_response.images[0].url.startswith("/stream/")

        changed = generate.image_to_image(request={"model_id": "m", "prompt": "p", "image": picture})
        assert changed.image_response is not None
        assert len(changed.image_response.images) == 1

        chat = generate.llm(request={"model": "m", "messages": [{"role": "user", "content": "hello there"}]})
        assert chat.llm_response is not None
        assert chat.llm_response.usage.prompt_tokens == 2

        text = generate.audio_to_text(request={"model_id": "m", "audio": {"file_name": "a.wav", "content": wav(1000)}})
        assert text.text_response is not None
        assert text.text_response.chunks[0].timestamp == [0.0, 1.0]

        video = generate.image_to_video(request={"model_id": "m", "image": picture})
        assert video.video_response is not None
        assert video.video_response.images[0].url.endswith(".mp4")

        scaled = generate.upscale(request={"model_id": "m", "prompt": "p", "image": picture})
        assert scaled.image_response is not None

        masks = generate.segment_anything2(request={"model_id": "m", "image": picture})
        assert masks.masks_response is not None
        assert masks.masks_response.scores == "[0.9]"

        caption = generate.image_to_text(request={"model_id": "m", "image": picture})
        assert caption.image_to_text_response is not None
        assert caption.image_to_text_response.text == "a picture of 48 by 32 pixels"

        speech = generate.text_to_speech(request={"model_id": "m", "text": "hi"})
        assert speech.audio_response is not None
        assert speech.audio_response.audio.url.endswith(".wav")


async def test_the_official_client_uses_every_route(deployment: Deployment) -> None:
    customer = await deployment.customer()
    await asyncio.to_thread(use_every_route, deployment.public, customer.key)
    events = await deployment.settled(9, customer.app)
    assert {(event["status"], event["outcome"]) for event in events} == {(200, "complete")}
    workloads = [
        "text-to-image",
        "image-to-image",
        "llm",
        "audio-to-text",
        "image-to-video",
        "upscale",
        "segment-anything-2",
        "image-to-text",
        "text-to-speech",
    ]
    assert sorted(event["workload"] for event in events) == sorted(workloads)


async def test_the_official_client_uses_every_route_asynchronously(deployment: Deployment) -> None:
    customer = await deployment.customer()
    picture = {"file_name": "a.png", "content": PNG}
    sound = {"file_name": "a.wav", "content": wav(1000)}
    async with Livepeer(server_url=deployment.public, http_bearer=customer.key) as livepeer:
        generate = livepeer.generate
        responses = await asyncio.gather(
            generate.text_to_image_async(request={"model_id": "m", "prompt": "p", "width": 64, "height": 64}),
            generate.image_to_image_async(request={"model_id": "m", "prompt": "p", "image": picture}),
            generate.llm_async(request={"model": "m", "messages": [{"role": "user", "content": "hello there"}]}),
            generate.audio_to_text_async(request={"model_id": "m", "audio": sound}),
            generate.image_to_video_async(request={"model_id": "m", "image": picture}),
            generate.upscale_async(request={"model_id": "m", "prompt": "p", "image": picture}),
            generate.segment_anything2_async(request={"model_id": "m", "image": picture}),
            generate.image_to_text_async(request={"model_id": "m", "image": picture}),
            generate.text_to_speech_async(request={"model_id": "m", "text": "hi"}),
        )
    assert {response.http_meta.response.status_code for response in responses} == {200}
    events = await deployment.settled(9, customer.app)
    assert {(event["model"], event["outcome"]) for event in events} == {("m", "complete")}


async def run(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


def chat(hold: str) -> str:
    """Return a streamed chat of five tokens that is held back after two."""
    messages = [{"role": "user", "content": "a b"}]
    return json.dumps({"model": f"mock/hold={hold},hold-at=2", "max_tokens": 5, "stream": True, "messages": messages})


@needs_curl
@pytest.mark.parametrize("credential", ["Authorization: Bearer {}", "X-Api-Key: {}"])
async def test_curl_shows_a_streamed_chat_as_it_comes(deployment: Deployment, credential: str) -> None:
    customer = await deployment.customer()
    process = await run(
        *("curl", "-sSN", "--max-time", "60", "--noproxy", "*", f"{deployment.public}/llm"),
        *("-H", credential.format(customer.key), "-d", chat(customer.app)),
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        first = [await process.stdout.readline() for _ in range(4)]
        assert [line[:6] for line in first] == [b"data: ", b"\n", b"data: ", b"\n"], "two while the third is held"
        deployment.gateway.release(customer.app)
        rest = await process.stdout.read()
        assert await process.wait() == 0
    assert rest.count(b"data: ") == 4
    assert b'"finish_reason":"stop"' in rest
    [event] = await deployment.settled(1, customer.app)
    assert event["units"]["output_tokens"] == 5


def push(customer: Customer, *headers: str) -> bytes:
    """Return the head of a segment pushed as encoders do: a PUT whose length is not known yet."""
    lines = (
        f"PUT /live/{customer.app}/0.ts HTTP/1.1",
        "Host: tollgate",
        f"Authorization: Bearer {customer.key}",
        "User-Agent: Lavf/61.1.100",
        "Transfer-Encoding: chunked",
        *headers,
    )
    return "\r\n".join([*lines, "", ""]).encode()


async def check_push(deployment: Deployment, customer: Customer, sha256: str, size: int) -> None:
    [event] = await deployment.settled(1, customer.app)
    assert (event["workload"], event["outcome"], event["bytes_in"]) == ("transcoding", "complete", size)
    record = deployment.record(event["id"])
    assert (record.body_length, record.body_sha256, record.body_complete) == (size, sha256, True)
    assert (record.header("transfer-encoding") is None) != (record.header("content-length") is None)
    assert record.header("expect") is None


async def test_a_segment_of_unknown_length_is_pushed_in_chunks(deployment: Deployment) -> None:
    customer = await deployment.customer()
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(push(customer))
        for piece in PIECES:
            await connection.send(chunk(piece))
        await connection.send(chunk(b""))
        response = await connection.response()
    assert (response.status, response.body) == (200, b"")
    await check_push(deployment, customer, sha256(SEGMENT).hexdigest(), len(SEGMENT))


async def test_an_encoder_that_waits_for_100_continue_gets_it(deployment: Deployment) -> None:
    customer = await deployment.customer()
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(push(customer, "Expect: 100-continue"))
        interim = await connection.head()
        assert interim.status == 100
        for piece in PIECES:
            await connection.send(chunk(piece))
        await connection.send(chunk(b""))
        assert (await connection.response()).status == 200
    await check_push(deployment, customer, sha256(SEGMENT).hexdigest(), len(SEGMENT))


async def test_whoever_waits_for_100_continue_without_a_key_gets_401_at_once(deployment: Deployment) -> None:
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(push(Customer("nobody", "wrong"), "Expect: 100-continue"))
        head = await connection.head()
        assert head.status == 401


async def test_a_push_is_on_its_way_before_its_last_chunk_is_made(deployment: Deployment) -> None:
    """The gateway receives a segment while its encoder is still writing it."""
    customer = await deployment.customer()
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(push(customer) + chunk(SEGMENT))
        await eventually(lambda: any(each.body_length == len(SEGMENT) for each in deployment.forwarded(customer.app)))
        assert not deployment.forwarded(customer.app)[0].body_complete
        await connection.send(chunk(b""))
        assert (await connection.response()).status == 200


@pytest.mark.parametrize("size", [0, 188, 50_008, 1_000_032])
async def test_an_encoder_that_hangs_up_after_its_last_byte_loses_nothing(deployment: Deployment, size: int) -> None:
    """ffmpeg never reads the response. The gateway transcodes what it received, so the request is complete."""
    customer = await deployment.customer()
    segment = ts(size)
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(push(customer) + (chunk(segment) if size else b"") + chunk(b""))
    if size:
        await check_push(deployment, customer, sha256(segment).hexdigest(), len(segment))
    else:
        [event] = await deployment.settled(1, customer.app)
        assert (event["status"], event["outcome"]) == (422, "complete")


async def test_an_encoder_that_hangs_up_before_its_last_byte_pushes_nothing(deployment: Deployment) -> None:
    """The gateway can tell that the body is incomplete."""
    customer = await deployment.customer()
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(push(customer) + chunk(SEGMENT))
        await eventually(lambda: any(each.body_length for each in deployment.forwarded(customer.app)))
    [event] = await deployment.settled(1, customer.app)
    assert event["outcome"] == "client_disconnect"
    await eventually(lambda: deployment.forwarded(customer.app)[0].outcome == "aborted")
    assert not deployment.forwarded(customer.app)[0].body_complete


@needs_ffmpeg
async def test_ffmpeg_pushes_its_segments(deployment: Deployment, tmp_path: Path) -> None:
    customer = await deployment.customer()
    process = await run(
        *("ffmpeg", "-hide_banner", "-loglevel", "error"),
        *("-f", "lavfi", "-i", "testsrc=size=128x96:rate=10:duration=3", "-c:v", "mpeg2video", "-g", "10"),
        *("-f", "hls", "-hls_time", "1", "-method", "PUT", "-headers", f"X-Api-Key: {customer.key}\r\n"),
        *("-hls_segment_filename", f"{deployment.public}/live/movie/%d.ts", str(tmp_path / "list.m3u8")),
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert (process.returncode, output.decode()) == (0, "")
    events = await deployment.settled(3, customer.app)
    assert {(event["status"], event["outcome"]) for event in events} == {(200, "complete")}
    pushed = deployment.forwarded(customer.app)
    movie = at_gateway(customer.app, "movie")
    assert sorted(each.target for each in pushed) == [f"/live/{movie}/{number}.ts" for number in range(3)]
    assert all(each.body_complete for each in pushed)
