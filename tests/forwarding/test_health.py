"""A gateway is ejected only if it does not live: it is probed before, and until it is back."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from middlewares.exchange import Outcome, Refusal
from tests.forwarding.fakes import (
    FakeConnection,
    Forwarded,
    Forwarding,
    drop,
    dropping_all_but_probes,
    forwarding,
    responding,
    response,
)
from tests.support.deployment import eventually
from tests.upstream import fakes

SOON = {"failures": 1, "ejection_seconds": 0.05, "probe_seconds": 0.2}


async def code_of(forwarder: Forwarding, **request: str) -> str:
    """Forward a request that is refused; return the refusal's code."""
    with pytest.raises(Refusal) as refused:
        await forwarder.forward(**request)  # type: ignore[arg-type]
    return refused.value.code


def up(forwarder: Forwarding) -> float:
    [metric] = forwarder.metrics.up.collect()
    return metric.samples[0].value


async def test_drops_do_not_eject_a_gateway_that_lives() -> None:
    async with forwarding(dropping_all_but_probes()) as forwarder:
        codes = await asyncio.gather(*(code_of(forwarder) for _ in range(50)))
        assert set(codes) == {"gateway_dropped"}
        assert forwarder.fleet.is_healthy(forwarder.urls[0])
        assert forwarder.gateways[0].accepted < 60, "one probe at a time serves many drops"


async def test_a_gateway_that_drops_its_probe_is_ejected() -> None:
    async with forwarding(drop) as forwarder:
        assert await code_of(forwarder) == "gateway_dropped"
        assert not forwarder.fleet.is_healthy(forwarder.urls[0])
        assert up(forwarder) == 0


async def test_a_gateway_that_hangs_is_ejected_after_the_probes_own_timeout() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await fakes.read_head(reader)).startswith(b"GET /healthz "):
            await reader.read()

    async with forwarding(hang, health=SOON) as forwarder:
        assert await code_of(forwarder) == "gateway_dropped"
        assert not forwarder.fleet.is_healthy(forwarder.urls[0])


async def test_an_ejected_gateway_is_back_without_traffic() -> None:
    lives = asyncio.Event()

    async def restart(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        if lives.is_set():
            writer.write(response(b""))

    async with forwarding(restart, health=SOON) as forwarder:
        assert await code_of(forwarder) == "gateway_dropped"
        assert not forwarder.fleet.is_healthy(forwarder.urls[0])
        lives.set()
        await eventually(lambda: forwarder.fleet.is_healthy(forwarder.urls[0]), 5)
        assert up(forwarder) == 1
        probes = forwarder.gateways[0].accepted
        await asyncio.sleep(0.3)
        assert forwarder.gateways[0].accepted == probes, "nobody probes what is not in doubt"


async def test_any_response_brings_an_ejected_gateway_back() -> None:
    """Such as that to a request for a result that is there alone."""
    health = {"failures": 1, "ejection_seconds": 3600}
    async with forwarding(responding(response(b"result")), health=health) as forwarder:
        forwarder.prober.record_unreachable(forwarder.urls[0])
        assert not forwarder.fleet.is_healthy(forwarder.urls[0])
        assert (await forwarder.forward()).body == b"result"
        assert forwarder.fleet.is_healthy(forwarder.urls[0])


async def test_a_body_that_its_client_cuts_short_says_nothing_of_the_gateway() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    messages: list[Message] = [
        {"type": "http.request", "body": b"12", "more_body": True},
        {"type": "http.request", "body": b"3"},
    ]
    async with forwarding(wait, health=SOON) as forwarder:
        with pytest.raises(Refusal) as refused:
            await forwarder.forward(messages=messages, length=9)
        await asyncio.sleep(0.3)
        assert refused.value.code == "request_incomplete"
        assert forwarder.gateways[0].accepted == 1
        assert forwarder.fleet.is_healthy(forwarder.urls[0])


async def test_a_model_that_is_not_named_is_the_likely_reason_of_a_drop() -> None:
    async with forwarding(dropping_all_but_probes()) as forwarder:
        assert await code_of(forwarder, route="llm", model="other") == "unknown_model"
        assert await code_of(forwarder, route="llm", model="named") == "gateway_dropped"
        assert await code_of(forwarder, route="text-to-image", model="other") == "gateway_dropped", "none is named"


async def test_a_drop_beside_work_of_the_same_model_is_overload() -> None:
    release = asyncio.Event()
    served = 0

    async def capacity_of_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        probe = (await fakes.read_head(reader)).startswith(b"GET /healthz ")
        served += not probe
        if served == 3 and not probe:
            return
        if served == 2 and not probe:
            await release.wait()
        writer.write(response(b"done", headers={b"connection": b"close"}))

    async with forwarding(capacity_of_one) as forwarder:
        await forwarder.forward("llm", model="m")
        busy = asyncio.create_task(forwarder.forward("llm", model="m"))
        await eventually(lambda: served == 2)
        with pytest.raises(Refusal) as refused:
            await forwarder.forward("llm", model="m")
        release.set()
        assert (await busy).body == b"done"
    assert (refused.value.status, refused.value.code) == (503, "gateway_overloaded")
    assert dict(refused.value.headers)[b"retry-after"]


async def test_an_image_that_cannot_be_decoded_is_the_likely_reason_of_a_drop() -> None:
    async with forwarding(dropping_all_but_probes()) as forwarder:
        with pytest.raises(Refusal) as refused:
            await forwarder.forward("upscale", undecodable=True)
    assert (refused.value.status, refused.value.code) == (422, "undecodable_image")


async def test_a_client_that_leaves_while_its_drop_is_looked_into_has_been_failed_by_the_gateway() -> None:
    probed = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await fakes.read_head(reader)).startswith(b"GET /healthz "):
            probed.set()
            await reader.read()

    connection, results = FakeConnection(), list[Forwarded]()
    async with forwarding(hang) as forwarder:
        task = asyncio.create_task(forwarder.forward(connection=connection, results=results))
        await probed.wait()
        connection.disconnect()
        await task
    ending = results[0].exchange.ending
    assert (ending.outcome, ending.code) == (Outcome.UPSTREAM_ERROR, "gateway_dropped")


@pytest.mark.ci
async def test_a_gateway_that_drops_all_is_not_the_least_busy() -> None:
    async with forwarding(dropping_all_but_probes(), fakes.always_ok) as forwarder:
        assert await code_of(forwarder) == "gateway_dropped"
        assert forwarder.fleet.candidates(["pool"])[1][0] == forwarder.urls[1]
        assert forwarder.fleet.gateways[forwarder.urls[0]].in_flight == 1
        await eventually(lambda: forwarder.fleet.gateways[forwarder.urls[0]].in_flight == 0)
