"""What lives at one gateway goes there; what can begin anew goes elsewhere when that gateway is gone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from starlette.types import Message, Receive, Scope, Send

from config.plans import BUILT_IN_PLANS
from config.routing import Gateway, Health, Pool, RouteRule, Routing
from config.workloads import Workload
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.routes import BY_NAME
from middlewares.tier_routing.fleet import Fleet
from middlewares.tier_routing.middleware import TierRoutingMiddleware

A, B, C = (f"http://10.0.0.{number}:9935" for number in (1, 2, 3))
POOLS = {
    "pictures": Pool(gateways=(Gateway(url=A),), health=Health(failures=1)),
    "videos": Pool(gateways=(Gateway(url=B), Gateway(url=C)), health=Health(failures=1)),
}
RULES = (RouteRule(workload=Workload.TEXT_TO_IMAGE, pool="pictures"), RouteRule(pool="videos"))


@dataclass
class Stuck:
    """An affinity that settles on `agreed`, or on the best one offered."""

    gateway: str
    movable: bool
    agreed: str = ""
    offered: list[Sequence[str]] = field(default_factory=list)

    async def reassign(self, gateways: Sequence[str]) -> str:
        self.offered.append(gateways)
        self.gateway = self.agreed or (gateways[0] if gateways else self.gateway)
        return self.gateway


async def routed(affinity: Stuck, *ejected: str) -> Exchange:
    """A playback request past the stage. Raises `Refusal`."""
    fleet = Fleet(POOLS)
    for url in ejected:
        fleet.record_failure(url)
    exchange = Exchange("id", 0.0, "GET", "/stream/x", route=BY_NAME["playback"], affinity=affinity)
    exchange.principal = Principal("app", None, None, "standard", BUILT_IN_PLANS["standard"])

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        pass

    stage = TierRoutingMiddleware(forward, routing=Routing(pools=POOLS, rules=RULES), fleet=fleet, models=())
    await stage({"type": "http", "tollgate.exchange": exchange}, receive, send)
    return exchange


async def test_a_result_goes_to_its_gateway_whatever_the_rules_say() -> None:
    exchange = await routed(Stuck(A, movable=False))
    assert (exchange.pool, exchange.gateways) == ("pictures", (A,))


async def test_a_result_goes_to_its_gateway_even_while_that_is_ejected() -> None:
    """Nobody else has it, and an ejection may be out of date."""
    affinity = Stuck(A, movable=False)
    exchange = await routed(affinity, A)
    assert (exchange.pool, exchange.gateways) == ("pictures", (A,))
    assert affinity.offered == [()], "another worker may have moved it"


async def test_a_result_whose_gateway_was_removed_is_nowhere_else() -> None:
    with pytest.raises(Refusal) as refused:
        await routed(Stuck("http://removed", movable=False))
    assert refused.value.status == 404


async def test_what_another_worker_has_moved_is_found_where_it_is_now() -> None:
    exchange = await routed(Stuck(C, movable=False, agreed=B), C)
    assert (exchange.pool, exchange.gateways) == ("videos", (B,))


async def test_a_manifest_stays_while_its_gateway_lives() -> None:
    affinity = Stuck(C, movable=True)
    exchange = await routed(affinity)
    assert (exchange.pool, exchange.gateways) == ("videos", (C, B))
    assert affinity.offered == []


@pytest.mark.parametrize("home", ["", C, "http://removed"])
async def test_a_manifest_without_a_living_gateway_is_placed(home: str) -> None:
    affinity = Stuck(home, movable=True)
    exchange = await routed(affinity, C)
    assert (exchange.pool, exchange.gateways) == ("videos", (B,))
    assert affinity.offered == [(B,)]


async def test_workers_go_where_they_agreed_to() -> None:
    exchange = await routed(Stuck("", movable=True, agreed=A))
    assert (exchange.pool, exchange.gateways[0]) == ("pictures", A)
    assert set(exchange.gateways) == {A, B, C}
