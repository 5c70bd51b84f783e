"""Keys with limits of their own, against four real workers: a cap through a rotation, a change, web pages, streams."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from middlewares.auth.keys import parse_key, pepper_of
from proxy.control.api_keys import ApiKeys
from proxy.control.key_changes import KeyChange
from proxy.store.configured import redis_keys
from tests.product.conftest import PRICE
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.gateways import job
from tests.support.raw_http import RawConnection, Response, request

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

PARALLEL = 1_000
PAGE = "https://app.example"
CORS = "access-control-allow-origin"


@asynccontextmanager
async def service(deployment: Deployment) -> AsyncIterator[ApiKeys]:
    async with deployment.store() as store:
        yield ApiKeys(store.redis, pepper_of(deployment.settings.auth))


async def limited(deployment: Deployment, members: KeyChange, plan: str = "unlimited") -> tuple[Customer, str]:
    """Return a new customer with a key of its own limits, and the key's id."""
    app = (await deployment.customer(plan)).app
    async with service(deployment) as keys:
        record, key = await keys.create(app, **members)
    return Customer(app, key), record.key_id


@asynccontextmanager
async def client_of(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=deployment.public, timeout=30, trust_env=False) as http:
        yield http


async def send_one(connection: RawConnection, key: str) -> Response:
    await connection.send(request("GET", "/stream/a.ts", [("X-Api-Key", key), ("X-Mock-Gateway", "bytes=2")]))
    return await connection.response()


async def test_a_cap_holds_to_the_unit_for_1000_parallel_requests_and_a_rotation(
    limited_deployment: Deployment,
) -> None:
    """Hazard: a cap that each worker counts for itself, and that a successor key starts anew."""
    affordable = 37
    cap = affordable * PRICE + 5
    customer, key_id = await limited(limited_deployment, {"limits": {"spend_total": str(cap)}}, "priced")
    own = redis_keys(limited_deployment.settings).rule(customer.app, "own", "key", key_id, "spend-total")
    opened = await asyncio.gather(*(RawConnection.open(limited_deployment.address) for _ in range(PARALLEL)))
    most = 0
    async with service(limited_deployment) as keys, limited_deployment.store() as store:

        async def watch() -> None:
            nonlocal most
            redis: Any = store.redis
            while not finished.is_set():  # a cancellation can be lost in the client of Redis
                counted = await redis.hmget(own, "used:total", "held")
                most = max(most, sum(int(each or 0) for each in counted))

        finished = asyncio.Event()
        watching = asyncio.create_task(watch())
        burst = [asyncio.create_task(send_one(each, customer.key)) for each in opened[: PARALLEL // 2]]
        await eventually(lambda: any(task.done() for task in burst))
        _, _, successor = await keys.rotate(key_id, timedelta(hours=1))
        both = [successor, customer.key]
        burst += [
            asyncio.create_task(send_one(each, both[number % 2])) for number, each in enumerate(opened[PARALLEL // 2 :])
        ]
        responses = await asyncio.gather(*burst)
        finished.set()
        await watching
        assert Counter(each.status for each in responses) == {200: affordable, 402: PARALLEL - affordable}
        assert {each.code for each in responses if each.status == 402} == {"key_limit"}
        assert len(limited_deployment.forwarded(customer.app)) == affordable
        events = await limited_deployment.settled(affordable, customer.app)
        assert sum(int(event["amount"]) for event in events) == affordable * PRICE
        assert {event["key"] for event in events} <= {key_id, parsed(successor)}
        assert 0 < most <= cap
        refused = await send_one(opened[0], successor)
        document = json.loads(refused.body)
        assert (document["policy"], document["limit"], document["remaining"]) == ("key-own-spend-total", str(cap), "5")
    for connection in opened:
        await connection.close()


def parsed(text: str) -> str:
    key = parse_key(text.encode())
    assert key is not None
    return key.key_id


async def test_a_change_reaches_all_workers_at_once(limited_deployment: Deployment) -> None:
    customer, key_id = await limited(limited_deployment, {"limits": {"requests_per_minute": 1_000}})

    async def statuses() -> Counter[int]:
        found: Counter[int] = Counter()
        for _ in range(12):  # connections of their own, so that every worker is asked
            async with await RawConnection.open(limited_deployment.address) as connection:
                found[(await send_one(connection, customer.key)).status] += 1
        return found

    assert await statuses() == {200: 12}
    async with service(limited_deployment) as keys:
        await keys.change(key_id, limits={"requests_per_minute": 12})

    async def everywhere() -> bool:
        return await statuses() == {429: 12}

    await eventually(everywhere, 20)  # far less than a worker trusts what it has cached


async def test_a_key_of_web_pages_is_for_them_alone(limited_deployment: Deployment) -> None:
    """Hazard: a key that is public in a page's source, and of use to every other page and to any program."""
    customer, _ = await limited(limited_deployment, {"origins": [PAGE]})
    body = {"model_id": "m", "prompt": "x"}
    async with client_of(limited_deployment) as http:
        post = partial(http.post, "/text-to-image", json=body)
        for origin in (PAGE, "https://evil.example"):
            preflight = await http.options(
                "/text-to-image",
                headers={
                    "origin": origin,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization,content-type",
                },
            )
            assert (preflight.status_code, preflight.headers[CORS]) == (204, origin)
            assert "authorization" in preflight.headers["access-control-allow-headers"]
        good = await post(headers={**customer.headers, "origin": PAGE})
        assert (good.status_code, good.headers[CORS]) == (200, PAGE)
        assert good.headers["vary"] == "Origin"
        assert "x-request-id" in good.headers["access-control-expose-headers"]
        unreadable = await post(headers={**customer.headers, "origin": PAGE}, content=b"{", json=None)
        assert (unreadable.status_code, unreadable.headers[CORS]) == (400, PAGE), "a page may read its errors"
        wrong: list[list[tuple[str, str]]] = [
            [],
            *(
                [("origin", origin)]
                for origin in ("https://evil.example", "null", "HTTPS://APP.EXAMPLE", f"{PAGE}.evil")
            ),
            [("origin", PAGE), ("origin", "https://evil.example")],
        ]
        for headers in wrong:
            refused = await post(headers=[*customer.headers.items(), *headers])
            assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed"), headers
            assert [name for name in refused.headers if name.startswith("access-control-")] == []
        own = await http.get("/api/v1/user/usage", headers={**customer.headers, "origin": "https://evil.example"})
        assert (own.status_code, own.json()["code"], CORS in own.headers) == (403, "origin_not_allowed", False)
        other = await limited_deployment.customer()
        foreign = await post(headers={**other.headers, "origin": PAGE})
        assert (foreign.status_code, CORS in foreign.headers) == (200, False), "another key names no page"
        no_key = await post(headers={"origin": PAGE})
        assert (no_key.status_code, CORS in no_key.headers) == (401, False)
    assert len(limited_deployment.forwarded(customer.app)) == 1


async def test_a_key_of_streams_names_no_other(limited_deployment: Deployment) -> None:
    """Hazard: a key for one camera that publishes, changes, watches or ends another one of its app."""
    customer, _ = await limited(limited_deployment, {"streams": ["cam"]})
    allowed = {"cam", f"{customer.app}_cam"}
    routes: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("POST", "/live/video-to-video/{}/whip", {"content-type": "application/sdp"}),
        ("POST", "/live/video-to-video/{}/update", {}),
        ("GET", "/live/video-to-video/{}/status", {}),
        ("POST", "/live/video-to-video/{}-out/whep", {"content-type": "application/sdp"}),
        ("POST", "/live/video-to-video/{}-0a1b2c3d-out/whep", {"content-type": "application/sdp"}),
        ("POST", "/process/stream/{}/update", {}),
        ("POST", "/process/stream/{}/stop", {}),
        ("GET", "/process/stream/{}/status", {}),
        ("GET", "/process/stream/{}/data", {}),
        ("POST", "/process/stream/{}/whip", {"content-type": "application/sdp"}),
        ("POST", "/live/{}/0.ts", {}),
        ("GET", "/stream/{}.m3u8", {}),
    )
    async with client_of(limited_deployment) as http:
        for method, path, headers in routes:
            for name in (*allowed, "door", "cam2", "cam-b", f"{customer.app}_door"):
                response = await http.request(
                    method,
                    path.format(name),
                    headers={**customer.headers, **headers},
                    content=b"" if method == "GET" else b"{}",
                )
                code = response.json().get("code") if "problem" in response.headers.get("content-type", "") else None
                assert (code == "stream_not_allowed") == (name not in allowed), (method, path, name, response.text)
        start = partial(http.post, "/process/stream/start", headers={**customer.headers, **job()})
        for name in ("door", "cam-b"):
            refused = await start(json={"stream_name": name})
            assert (refused.status_code, refused.json()["code"]) == (403, "stream_not_allowed"), name
        unnamed = await start(json={})
        assert unnamed.json()["code"] == "stream_not_allowed", "it would get a name that nobody has allowed"
        assert "stream_not_allowed" not in (await start(json={"stream_id": "cam"})).text
    assert not [each for each in limited_deployment.forwarded(customer.app) if "door" in str(each)]
