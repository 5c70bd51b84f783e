"""An app that has used much: ten thousand requests of the last five weeks, written to the ledger as it writes them."""

from __future__ import annotations

import random
from typing import Any

from ulid import ULID

from config.workloads import Unit, Workload
from middlewares.ledger.settlement.event import ENCODER, Event
from proxy.control.api_keys import ApiKeys
from proxy.control.users import Users
from proxy.history.batch import Sums, read
from proxy.store.clients import now_ms
from proxy.store.configured import redis_keys
from tests.portal.conftest import Tenant, tenant
from tests.support.deployment import Deployment

EVENTS = 10_000
_WEEKS_MS = 5 * 7 * 86_400_000
_MODELS = (
    ("llm", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
    ("text-to-image", "SG161222/RealVisXL_V4.0_Lightning"),
    ("text-to-image", "ByteDance/SDXL-Lightning"),
    ("image-to-video", "stabilityai/stable-video-diffusion-img2vid-xt-1-1"),
    ("audio-to-text", "openai/whisper-large-v3"),
)
_ENDINGS = [("complete", 200)] * 40 + [("client_disconnect", 200), ("upstream_error", 502), ("refused", 413)]


async def busy_app(deployment: Deployment) -> Tenant:
    """Make the app, its users and keys, and what they have used."""
    busy = await tenant(deployment, "Aurora Studio", external_id="ann@example.com")
    chance, keys = random.Random(7), redis_keys(deployment.settings)
    async with deployment.store() as store:
        owners: list[tuple[str | None, str]] = []
        for number in range(240):
            user, _ = await Users(store.redis).create(busy.app, f"customer-{number:03}")
            record, _ = await ApiKeys(store.redis, None).create(busy.app, user=user.user_id, name=f"device {number:03}")
            owners.append((user.user_id, record.key_id))
        sums, client = Sums(), store.redis
        now, stream = await now_ms(client), keys.shared(keys.tag(busy.app)).events
        pipeline: Any = client.pipeline(transaction=False)
        for number in range(EVENTS):
            time = now - _WEEKS_MS + number * (_WEEKS_MS // EVENTS)
            each = _event(busy.app, time, chance, *owners[min(len(owners) - 1, int(chance.expovariate(0.02)))])
            fields = {b"event": ENCODER.encode(each), b"amount": str(chance.randrange(10**14, 10**18)).encode()}
            pipeline.xadd(stream, fields)
            [entry] = read(0, [(b"1-0", fields)])
            sums.add(entry)
        await pipeline.execute()
        for total, number in sums.totals.items():
            pipeline.hset(keys.usage(total.app, f"{total.day:%Y%m%d}"), total.field, str(number))
        await pipeline.execute()
    return busy


def _event(app: str, time: int, chance: random.Random, user: str | None, key: str) -> Event:
    workload, model = chance.choice(_MODELS)
    outcome, status = chance.choice(_ENDINGS)
    took = chance.randrange(200, 20_000)
    units = {Unit.REQUESTS: 1, Unit.MILLISECONDS: took}
    if workload == "llm":
        units |= {Unit.INPUT_TOKENS: chance.randrange(4_000), Unit.OUTPUT_TOKENS: chance.randrange(2_000)}
    return Event(
        id=str(ULID.from_timestamp(time / 1_000)),
        time=time,
        started=time - took,
        app=app,
        user=user,
        key=key,
        plan="portal@0fe2bafd",
        workload=Workload(workload),
        model=model,
        outcome=outcome,
        status=status,
        units=units,
        provenance=dict.fromkeys(units, "measured"),
        duration_ms=took,
    )
