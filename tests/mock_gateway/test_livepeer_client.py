"""The official `livepeer-ai` client against the mock gateway: its whole list of routes."""

import httpx
import pytest
from livepeer_ai import Livepeer
from livepeer_ai.models import components, errors

from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.media import png, wav

PNG = png(48, 32)


async def test_every_route(mock_gateway: MockGateway) -> None:
    with httpx.Client(trust_env=False) as sync:
        async with httpx.AsyncClient(trust_env=False) as client:
            livepeer = Livepeer(http_bearer="key", server_url=mock_gateway.url, client=sync, async_client=client)
            generate = livepeer.generate

            made = await generate.text_to_image_async(
                request={"model_id": "m", "prompt": "p", "width": 64, "height": 64}
            )
            assert made.image_response is not None
            assert made.image_response.images[0].url.startswith("/stream/")

            changed = await generate.image_to_image_async(
                request={"model_id": "m", "prompt": "p", "image": {"file_name": "a.png", "content": PNG}}
            )
            assert changed.image_response is not None
            assert len(changed.image_response.images) == 1

            video = await generate.image_to_video_async(
                request={"model_id": "m", "image": {"file_name": "a.png", "content": PNG}}
            )
            assert video.video_response is not None
            assert video.video_response.images[0].url.endswith(".mp4")

            scaled = await generate.upscale_async(
                request={"model_id": "m", "prompt": "p", "image": {"file_name": "a.png", "content": PNG}}
            )
            assert scaled.image_response is not None

            text = await generate.audio_to_text_async(
                request={"model_id": "m", "audio": {"file_name": "a.wav", "content": wav(1000)}}
            )
            assert text.text_response is not None
            assert text.text_response.chunks[0].timestamp == [0.0, 1.0]

            masks = await generate.segment_anything2_async(
                request={"model_id": "m", "image": {"file_name": "a.png", "content": PNG}}
            )
            assert masks.masks_response is not None
            assert masks.masks_response.scores == "[0.9]"

            chat = await generate.llm_async(
                request={"model": "m", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 3}
            )
            assert chat.llm_response is not None
            assert chat.llm_response.usage.total_tokens == 5

            caption = await generate.image_to_text_async(
                request={"model_id": "m", "image": {"file_name": "a.png", "content": PNG}}
            )
            assert caption.image_to_text_response is not None
            assert caption.image_to_text_response.text == "a picture of 48 by 32 pixels"

            speech = await generate.text_to_speech_async(request=components.TextToSpeechParams(model_id="m", text="hi"))
            assert speech.audio_response is not None
            assert speech.audio_response.audio.url.endswith(".wav")

            with pytest.raises(errors.SDKError):  # 503 in the gateway's error shape, which it does not document
                await generate.text_to_image_async(request={"model_id": "mock/status=503", "prompt": "p"})
    assert {seen.header("authorization") for seen in mock_gateway.requests} == {"Bearer key"}
    assert len(mock_gateway.requests) == 10
