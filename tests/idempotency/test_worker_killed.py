"""Hazard: `kill -9` of the worker that has a key. Its hold decides: the key is free again, or stands for done work."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest

from tests.idempotency.conftest import ORPHANS
from tests.product.test_worker_killed import clients
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.raw_http import RawConnection, Response, request

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]

BODY = b'{"model_id":"mock/hold=killed","prompt":"p","width":8,"height":8}'


@dataclass
class Repeated:
    """Request of a customer, and its repetitions by the same key."""

    deployment: Deployment
    customer: Customer

    @property
    def bytes(self) -> bytes:
        headers = [*self.customer.headers.items(), ("Idempotency-Key", "k")]
        return request("POST", "/text-to-image", headers, BODY)

    async def repeat(self) -> Response:
        async with await RawConnection.open(self.deployment.address) as connection:
            return await connection.exchange(self.bytes)

    async def decided(self) -> Response:
        """Repeat it until it is no longer said to be in flight."""
        responses: list[Response] = []

        async def is_decided() -> bool:
            responses[:] = [await self.repeat()]
            return responses[0].status != 409 or responses[0].code != "idempotency_in_flight"

        await eventually(is_decided)
        return responses[0]


async def test_a_killed_worker_leaves_a_key_that_is_free_or_done(deployment: Deployment) -> None:
    repeated = {plan: Repeated(deployment, await deployment.customer(plan)) for plan in ORPHANS}
    victim = deployment.workers()[0]
    connections: list[RawConnection] = []
    while len(connections) < len(ORPHANS):  # all of them at one worker
        connection = await RawConnection.open(deployment.address)
        await connection.exchange(request("GET", "/healthz"))
        if connection.port in clients(victim):
            connections.append(connection)
        else:
            await connection.close()
    for connection, each in zip(connections, repeated.values(), strict=True):
        await connection.send(each.bytes)
    await deployment.gateway.wait_for(held=len(ORPHANS))
    victim.kill()
    for connection in connections:
        assert await connection.read_to_end() == b""
        await connection.close()
    assert (await repeated["refund"].repeat()).code == "idempotency_in_flight", "its hold lives on"
    deployment.gateway.release("killed")
    for plan, last in zip(ORPHANS, await asyncio.gather(*(each.decided() for each in repeated.values())), strict=True):
        records = deployment.forwarded(repeated[plan].customer.app)
        if plan == "refund":
            assert (last.status, last.get("idempotency-replayed"), len(records)) == (200, None, 2)
        else:
            assert (last.status, last.code, len(records)) == (409, "idempotency_done", 1), plan
            assert json.loads(last.body)["original_request_id"] == records[0].request_id
    await eventually(lambda: len(deployment.workers()) == 2)
