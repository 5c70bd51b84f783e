"""Ambiguous HTTP with a valid key in it, against the whole product: the gateway hears nothing of it."""

import contextlib
import re

import pytest

from tests.edge.hostile import Hostile, hostile_requests, second_request
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="package")

NAMES = [case.name for case in hostile_requests()]


def fields_of(number: int, customer: Customer) -> bytes:
    """A good key, and a mark by which the gateway's record tells the case."""
    return f"X-Api-Key: {customer.key}\r\nX-Case: {number}\r\n".encode()


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
async def test_refused_and_unheard_of_by_the_gateway(gate: Deployment, somebody: Customer, number: int) -> None:
    case = hostile_requests(fields_of(number, somebody))[number]
    second = second_request(fields_of(number, somebody))
    for pieces in ((case.raw + second,), (case.raw, second)):
        async with await Wire.open(gate.address) as wire:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    await wire.send(piece)
            answer = await wire.rest()
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)]
        assert len(statuses) == 1, answer
        assert statuses[0] in case.statuses
    check_record(gate, number, case)


async def test_all_of_it_is_still_unheard_of_when_everything_has_ended(gate: Deployment) -> None:
    await eventually(lambda: gate.gateway.counters["in_flight"] == 0)
    for number, case in enumerate(hostile_requests()):
        check_record(gate, number, case)


def check_record(gate: Deployment, number: int, case: Hostile) -> None:
    """Only where the fault is in its body may a request have been begun; it is never whole."""
    heard = [each for each in gate.gateway.requests if each.header("x-case") == str(number)]
    assert len(heard) <= 2 * case.in_body
    assert not any(each.body_complete or "second" in each.target for each in heard)


async def test_the_second_request_alone_is_served(gate: Deployment, somebody: Customer) -> None:
    """Otherwise the tests above would prove nothing."""
    async with await Wire.open(gate.address) as wire:
        await wire.send(second_request(f"X-Api-Key: {somebody.key}\r\nX-Mock-Gateway: bytes=2\r\n".encode()))
        answer = await wire.answer()
    assert (answer.status, len(answer.body)) == (200, 2)
