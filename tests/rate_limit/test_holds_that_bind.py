"""A balance of 1 wei admits nothing that costs more, whatever is requested, and however many at once."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from ulid import ULID

from config.access import Edge
from config.plans import Plan
from config.workloads import Unit
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.ledger.credit.prepaid import balance, grant
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.rate_limit.middleware import RateLimitMiddleware
from middlewares.usage_tracker.media.peek import Peek
from middlewares.usage_tracker.media.picture import picture
from proxy.store.store import Store
from tests.forwarding.fakes import FakeConnection
from tests.ledger.worker_ledger import WorkerLedger
from tests.support.edge import edge_before

JOBS = 200
UNITS = ("requests", "pixels", "tokens", "characters", "generations")
"""Every unit that has an upper bound in every workload."""


def plan(**more: object) -> Plan:
    prices: list[dict[str, object]] = [{"unit": unit, "amount": 200} for unit in UNITS]
    timed = ("audio-to-text", "transcoding", "byoc", "live-video-to-video")
    prices += [{"workload": workload, "unit": "seconds", "amount": 200} for workload in timed]
    return Plan.model_validate({"billing": "credits", "prices": prices, **more})


def form(*parts: tuple[str, bytes], ended: bool = True) -> bytes:
    body = b""
    for name, value in parts:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"'
        head += '; filename="f"\r\n\r\n' if name in ("image", "audio") else "\r\n\r\n"
        body += head.encode() + value + b"\r\n"
    return body + (b"--b--\r\n" if ended else b"")


def png(width: int, height: int) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0" * 9
    )


def job() -> bytes:
    return base64.b64encode(json.dumps({"capability": "c", "timeout_seconds": 30}).encode())


MODEL = ("model_id", b"m")
PROMPT = ("prompt", b"p")
IMAGE = ("image", png(640, 480))
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
REQUESTS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "text-to-image": ("/text-to-image", b'{"model_id":"m","prompt":"p"}', {}),
    "llm": ("/llm", json.dumps(CHAT).encode(), {}),
    "openai": ("/v1/chat/completions", json.dumps(CHAT).encode(), {}),
    "text-to-speech": ("/text-to-speech", b'{"model_id":"m","text":"t"}', {}),
    "image-to-image": ("/image-to-image", form(MODEL, IMAGE), {}),
    "image-to-video": ("/image-to-video", form(MODEL, IMAGE), {}),
    "upscale": ("/upscale", form(MODEL, IMAGE), {}),
    "segment-anything-2": ("/segment-anything-2", form(MODEL, IMAGE), {}),
    "image-to-text": ("/image-to-text", form(MODEL, IMAGE), {}),
    "audio-to-text": ("/audio-to-text", form(MODEL, ("audio", b"ID3")), {}),
    "transcoding": ("/live/cam/0.ts", b"G", {}),
    "byoc": ("/process/request/run", b"{}", {"livepeer": job().decode()}),
    "byoc-stream": ("/process/stream/start", b"{}", {"livepeer": job().decode()}),
    "playback": ("/stream/cam/0.ts", b"", {}),
}


class Pipeline:
    """Edge and rate limit over a real ledger; counts what is admitted, and settles nothing."""

    def __init__(self, worker: WorkerLedger, plan: Plan) -> None:
        self.worker, self.plan = worker, plan
        self.app = f"app_{ULID()}"
        self.exchanges: list[Exchange] = []
        limit = RateLimitMiddleware(self._admitted, ledger=worker.ledger)

        async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
            principal = Principal(self.app, None, "key_a", "plan", self.plan)
            scope["tollgate.exchange"].principal = principal
            await limit(scope, receive, send)

        self.stage = edge_before(authenticated, Edge(), picture=lambda: Peek(picture))

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["tollgate.exchange"]
        assert exchange.hold is not None
        self.exchanges.append(exchange)
        while (await receive()).get("more_body"):
            pass

    async def request(
        self, path: str, *chunks: bytes, declared: int | None = None, headers: dict[str, str] | None = None
    ) -> str:
        """Send one request; return the code of its refusal, or an empty text."""
        size = sum(map(len, chunks)) if declared is None else declared
        fields = {"host": "a", "content-length": str(size), **(headers or {})}
        if path in ("/stream/cam/0.ts",):
            fields.pop("content-length")
        elif chunks[0][:3] == b"--b":
            fields["content-type"] = "multipart/form-data; boundary=b"
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET" if path.startswith("/stream/") else "POST",
            "http_version": "1.1",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "tollgate.target": path.encode(),
            "tollgate.connection": FakeConnection(),
            "tollgate.exchange": Exchange(str(ULID()), 0.0, "POST", path),
        }
        left = list(chunks)

        async def receive() -> Message:
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left)}

        async def send(message: Message) -> None:
            raise AssertionError("nothing is sent")

        try:
            await self.stage(scope, receive, send)
        except Refusal as refusal:
            return refusal.code if refusal.code != "invalid_parameter" else f"{refusal.members['parameter']}: {refusal}"
        return ""


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", REQUESTS)
async def test_one_wei_admits_no_job_that_costs_more(
    worker: WorkerLedger, store: Store, keys: RedisKeys, name: str
) -> None:
    path, body, headers = REQUESTS[name]
    pipeline = Pipeline(worker, plan())
    await grant(store, keys, pipeline.app, None, 1, reference="r")
    codes = await asyncio.gather(*(pipeline.request(path, body, headers=headers) for _ in range(JOBS)))
    assert (pipeline.exchanges, set(codes)) == ([], {"insufficient_balance"})


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_is_reserved_never_exceeds_the_balance(
    worker: WorkerLedger, store: Store, keys: RedisKeys, name: str
) -> None:
    path, body, headers = REQUESTS[name]
    pipeline = Pipeline(worker, plan())
    await grant(store, keys, pipeline.app, None, 10**30, reference="r")
    assert await pipeline.request(path, body, headers=headers) == ""
    [first] = pipeline.exchanges
    assert first.hold is not None
    price = int(first.hold.estimate)
    assert price >= 200
    poor = Pipeline(worker, plan())
    await grant(store, keys, poor.app, None, 3 * price + price // 2, reference="r")
    codes = await asyncio.gather(*(poor.request(path, body, headers=headers) for _ in range(20)))
    assert (codes.count(""), codes.count("insufficient_balance")) == (3, 17)
    assert (await balance(store, keys, poor.app, None)).held == 3 * price


@pytest.mark.parametrize(
    ("path", "chunks", "pixels"),
    [
        ("/image-to-image", [form(MODEL, IMAGE)], 640 * 480),
        ("/image-to-image", [form(MODEL, IMAGE, ("num_images_per_prompt", b"3"))], 640 * 480 * 3),
        ("/image-to-image", [form(MODEL, IMAGE, ended=False), form(("prompt", b"p"))], 640 * 480 * 10),
        ("/image-to-image", [form(MODEL, PROMPT, ended=False), form(IMAGE)], 4096 * 4096 * 10),
        ("/upscale", [form(MODEL, ("image", b"no picture"))], 1_048_576),
        ("/image-to-text", [form(MODEL, PROMPT, ended=False), form(IMAGE)], 4096 * 4096),
        ("/image-to-video", [form(MODEL, IMAGE)], 1024 * 576 * 25),
        ("/image-to-video", [form(MODEL, ("width", b"64"), ("height", b"64"), IMAGE)], 64 * 64 * 25),
        ("/image-to-video", [form(MODEL, PROMPT, ended=False), form(IMAGE)], 4096 * 4096 * 25),
    ],
)
async def test_an_upload_reserves_what_its_head_says_or_the_maxima(
    worker: WorkerLedger, path: str, chunks: list[bytes], pixels: int
) -> None:
    pipeline = Pipeline(worker, Plan())
    assert await pipeline.request(path, *chunks) == ""
    assert pipeline.exchanges[0].declared.units[Unit.PIXELS] == pixels


async def test_audio_and_segments_reserve_by_their_length(worker: WorkerLedger) -> None:
    pipeline = Pipeline(worker, Plan())
    body = form(MODEL, ("audio", bytes(8_000)))
    await pipeline.request("/audio-to-text", body)
    await pipeline.request("/live/cam/0.ts", b"G", declared=1_000_000)
    await pipeline.request("/live/cam/1.ts", b"G")
    await pipeline.request("/live/cam/2.ts", b"G", declared=299_000_000)
    milliseconds = [each.declared.units[Unit.MILLISECONDS] for each in pipeline.exchanges]
    assert milliseconds == [-(-len(body) // 4), 2 * 8_000, 2 * 2_000, 2 * 300_000]


@pytest.mark.parametrize(
    ("path", "chunks", "refused"),
    [
        ("/text-to-image", [b'{"model_id":"m","width":4097}'], "width: `width` must be a whole number from 1 to 4096."),
        ("/text-to-image", [b'{"model_id":"m","num_images_per_prompt":11}'], "num_images_per_prompt: "),
        ("/image-to-image", [form(MODEL, ("num_images_per_prompt", b"11"), IMAGE)], "num_images_per_prompt: "),
        (
            "/image-to-image",
            [form(MODEL, PROMPT, ended=False), form(("num_images_per_prompt", b"+11"))],
            "num_images_per_pr",
        ),
        ("/image-to-video", [form(MODEL, IMAGE, ("height", b"8192"))], "height: "),
        (
            "/upscale",
            [form(MODEL, ("image", png(8192, 1)))],
            "image: `image` is 8192 x 1 pixels; its",
        ),
        (
            "/upscale",
            [form(MODEL, PROMPT, ended=False), form(("image", png(1, 8192)))],
            "image: `image` is 1 x 8192 pixels",
        ),
        ("/upscale", [form(MODEL, ("image", png(70_000, 1_200)))], "image: `image` has a head from which"),
        (
            "/image-to-text",
            [form(MODEL, PROMPT, ended=False), form(("image", b"\xff\xd8" + b"\xff\xfe\0\2" * 1_001))],
            "image: `image` has a head from which",
        ),
        ("/llm", [json.dumps({**CHAT, "max_tokens": 9_000}).encode()], "max_tokens: "),
        (
            "/llm",
            [json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 101}]}).encode()],
            "messages",
        ),
        ("/text-to-speech", [json.dumps({"model_id": "m", "text": "x" * 101}).encode()], "text: `text` has 101 bytes"),
    ],
)
async def test_more_than_the_maxima_is_refused(
    worker: WorkerLedger, path: str, chunks: list[bytes], refused: str
) -> None:
    limited = Plan.model_validate({"maxima": {"prompt_bytes": 100}, "max_tokens": {"max": 8_192}})
    assert (await Pipeline(worker, limited).request(path, *chunks)).startswith(refused)
