"""The next gateway is tried only while nothing was sent to the one before; failures count against health."""

from __future__ import annotations

import asyncio

import pytest

from middlewares.exchange import Outcome, Refusal
from proxy.forwarding.forwarder import FAILING
from proxy.upstream import ConnectionPool
from tests.forwarding.fakes import Forwarded, drop, forwarding, responding, response
from tests.support.deployment import eventually
from tests.upstream import fakes


async def test_an_unreachable_gateway_gives_way_to_the_next() -> None:
    async with forwarding(fakes.always_ok, responding(response(b"second"))) as forwarder:
        first, second = forwarder.urls
        await forwarder.gateways[0].__aexit__()
        forwarded = await forwarder.forward()
        assert forwarded.body == b"second"
        assert forwarded.exchange.gateway == second
        assert forwarded.exchange.ending.outcome is Outcome.COMPLETE
        assert not forwarder.fleet.is_healthy(first)
        assert [forwarder.fleet.gateways[url].in_flight for url in forwarder.urls] == [0, 0]


async def test_what_a_gateway_may_have_seen_is_not_sent_to_another() -> None:
    """It may have done the work, and been paid for it."""
    results: list[Forwarded] = []
    async with forwarding(drop, fakes.always_ok) as forwarder:
        with pytest.raises(Refusal) as refused:
            await forwarder.forward(results=results)
        assert forwarder.gateways[1].accepted == 0
        assert not forwarder.fleet.is_healthy(forwarder.urls[0])
        assert forwarder.fleet.is_healthy(forwarder.urls[1])
    [forwarded] = results
    assert (refused.value.status, refused.value.code) == (502, "gateway_dropped")
    ending = forwarded.exchange.ending
    assert (ending.outcome, ending.code, ending.status) == (Outcome.UPSTREAM_ERROR, "gateway_dropped", 502)
    assert forwarded.exchange.forwarded


async def test_the_last_gateway_is_the_last() -> None:
    results: list[Forwarded] = []
    async with forwarding(fakes.always_ok, fakes.always_ok) as forwarder:
        for gateway in forwarder.gateways:
            await gateway.__aexit__()
        with pytest.raises(Refusal) as refused:
            await forwarder.forward(results=results)
    assert (refused.value.status, refused.value.code) == (502, "gateway_unreachable")
    assert not results[0].exchange.forwarded
    assert results[0].exchange.gateway_status == 0


async def test_a_busy_gateway_gives_way_without_losing_its_health() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        busy.set()
        await reader.read()

    busy = asyncio.Event()
    async with forwarding(hang, responding(response(b"second"))) as forwarder:
        first = forwarder.urls[0]
        forwarder.pools[first].close()
        single = ConnectionPool("127.0.0.1", forwarder.gateways[0].port, max_connections=1, max_waiting=0)
        forwarder.pools[first] = single
        hanging = asyncio.create_task(forwarder.forward())
        await busy.wait()
        forwarded = await forwarder.forward()
        assert forwarded.body == b"second"
        assert forwarder.fleet.is_healthy(first)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging


@pytest.mark.parametrize("status", [200, 201, 302, 400, 404, 429, 500, 501, 502, 503, 504])
async def test_statuses_that_put_a_gateways_health_in_doubt(status: int) -> None:
    """Those of what may stand before it: then its probe decides. The response is passed on in any case."""
    raw = response(b"body", b"%d Status" % status)
    async with forwarding(responding(raw), health={"failures": 2}) as forwarder:
        state = forwarder.fleet.gateways[forwarder.urls[0]]
        state.failures = 1
        forwarded = await forwarder.forward()
        assert (forwarded.status, forwarded.body) == (status, b"body")
        assert forwarded.exchange.gateway_status == status
        assert forwarder.fleet.is_healthy(forwarder.urls[0])
        assert state.failures == (1 if status in FAILING else 0)
        if status in FAILING:
            await eventually(lambda: not forwarder.fleet.is_healthy(forwarder.urls[0]))  # its probe is no better
    assert frozenset({502, 503, 504}) == FAILING


async def test_a_response_that_is_cut_off_has_the_gateway_probed_and_does_not_look_complete() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart")

    results: list[Forwarded] = []
    async with forwarding(cut, fakes.always_ok) as forwarder:
        with pytest.raises(Refusal) as refused:
            await forwarder.forward(results=results)
        await eventually(lambda: forwarder.gateways[0].accepted == 2)
        assert forwarder.fleet.is_healthy(forwarder.urls[0]), "it responds to its probe"
    [forwarded] = results
    assert refused.value.code == "gateway_truncated"
    assert (forwarded.status, forwarded.complete) == (200, False)
    assert forwarded.exchange.ending.outcome is Outcome.UPSTREAM_ERROR


async def test_in_flight_counts_a_request_until_its_response_is_over() -> None:
    counts: list[int] = []

    def count(forwarded: Forwarded) -> None:
        counts.append(forwarder.fleet.gateways[forwarder.urls[0]].in_flight)

    async with forwarding(responding(response(b"ok"))) as forwarder:
        await forwarder.forward(on_send=count)
        assert counts
        assert set(counts) == {1}
        assert forwarder.fleet.gateways[forwarder.urls[0]].in_flight == 0


@pytest.mark.parametrize("early", [b"", b"early "])
async def test_what_arrives_while_a_stage_handles_the_head_is_not_lost(early: bytes) -> None:
    """A stage takes its time over the head of a response, while the gateway sends the rest."""
    late = b"early late".removeprefix(early)
    handling = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fakes.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n" + early)
        await handling.wait()
        writer.write(late)
        await reader.read()

    async def handle_head(forwarded: Forwarded) -> None:
        if len(forwarded.sent) == 1:
            handling.set()
            await asyncio.sleep(0.05)

    async with forwarding(respond) as forwarder:
        forwarded = await forwarder.forward(on_send=handle_head)
    assert forwarded.body == b"early late"
    assert len(forwarded.sent) == 2, "all of it was there when the head had left"
