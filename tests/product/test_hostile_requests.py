"""Ambiguous HTTP with a valid key, against the whole product: nothing of it reaches the gateway."""

import contextlib
import re

import pytest

from tests.edge.hostile import Hostile, hostile_requests, second_request
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.raw_http import RawConnection

pytestmark = pytest.mark.asyncio(loop_scope="package")

NAMES = [case.name for case in hostile_requests()]


def headers_of(number: int, customer: Customer) -> bytes:
    """Return a valid key, and a header by which the case is found in the gateway's record."""
    return f"X-Api-Key: {customer.key}\r\nX-Case: {number}\r\n".encode()


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
async def test_refused_and_not_forwarded(deployment: Deployment, customer: Customer, number: int) -> None:
    case = hostile_requests(headers_of(number, customer))[number]
    second = second_request(headers_of(number, customer))
    for pieces in ((case.raw + second,), (case.raw, second)):
        async with await RawConnection.open(deployment.address) as connection:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    await connection.send(piece)
            response = await connection.read_to_end()
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", response)]
        assert len(statuses) == 1, response
        assert statuses[0] in case.statuses
    check_record(deployment, number, case)


@pytest.mark.ci
async def test_none_of_it_is_forwarded_later(deployment: Deployment) -> None:
    await eventually(lambda: deployment.gateway.counters["in_flight"] == 0)
    for number, case in enumerate(hostile_requests()):
        check_record(deployment, number, case)


def check_record(deployment: Deployment, number: int, case: Hostile) -> None:
    """Check that a request has reached the gateway only if its fault is in the body, and then never whole."""
    forwarded = [each for each in deployment.gateway.requests if each.header("x-case") == str(number)]
    assert len(forwarded) <= 2 * case.in_body
    assert not any(each.body_complete or "second" in each.target for each in forwarded)


async def test_the_second_request_alone_is_served(deployment: Deployment, customer: Customer) -> None:
    """The second request is valid, without which the tests above would prove nothing."""
    async with await RawConnection.open(deployment.address) as connection:
        await connection.send(second_request(f"X-Api-Key: {customer.key}\r\nX-Mock-Gateway: bytes=2\r\n".encode()))
        response = await connection.response()
    assert (response.status, len(response.body)) == (200, 2)
