"""Choice of pools and gateways: by rule, then by health and load, as one worker knows them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from config.routing import Health, Pool, RouteRule, Routing
from config.workloads import Workload


def choose_pools(rules: Iterable[RouteRule], tier: str, workload: Workload, model: str | None) -> tuple[str, ...]:
    """Return the names of the pools to use, in order: those of the first rule whose given members all match.

    Where no rule matches, nothing may serve the request. Pure.
    """
    for rule in rules:
        if rule.tier in (None, tier) and rule.workload in (None, workload) and rule.model in (None, model):
            return rule.pool, *rule.fallback
    return ()


@dataclass(slots=True)
class GatewayState:
    """One gateway, seen from one worker."""

    url: str
    in_flight: int = 0
    failures: int = 0
    """Failures in a row to take a connection or to respond to a probe."""
    ejected: bool = False
    """True from too many failures in a row until it responds to anything."""
    drained: bool = False
    """True while an operator wants it to get no new work."""
    last_chosen: int = 0
    """Number of the choice that took it last."""


def _load(state: GatewayState) -> tuple[int, int]:
    return state.in_flight, state.last_chosen


class Fleet:
    """Least-in-flight choice and health over all pools. A gateway of several pools has one state.

    A gateway is judged by whether it lives: only connections that it does not take and probes that it does not respond
    to are failures. A dropped request is none, for that is how a gateway refuses one (gateway contract section 10).
    An ejected gateway gets no new work, and neither does one that an operator has drained; what it alone has still
    goes there.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self.health: dict[str, Health] = {}
        self.gateways: dict[str, GatewayState] = {}
        for pool in pools.values():
            for gateway in pool.gateways:
                self.gateways.setdefault(gateway.url, GatewayState(gateway.url))
                self.health.setdefault(gateway.url, pool.health)
        self.pools = {
            name: tuple(self.gateways[gateway.url] for gateway in pool.gateways) for name, pool in pools.items()
        }
        self._choices = 0

    def candidates(self, pools: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Return the first pool with a healthy gateway, and its healthy gateways, least busy first.

        Of equally busy gateways the one that was chosen longest ago comes first. Where every gateway of every pool is
        ejected, those of the first pool are tried all the same: an ejection is a guess, a refusal is certain. A drained
        one is never tried. ("", ()) where there is none to try.
        """
        for name in pools:
            healthy = [gateway for gateway in self.pools[name] if not gateway.ejected and not gateway.drained]
            if healthy:
                return name, self._ordered(healthy)
        for name in pools:
            if ejected := [gateway for gateway in self.pools[name] if not gateway.drained]:
                return name, self._ordered(ejected)
        return "", ()

    def is_healthy(self, url: str) -> bool:
        """Return True if this is a gateway of any pool that may have new work: neither ejected nor drained."""
        state = self.gateways.get(url)
        return state is not None and not state.ejected and not state.drained

    def drain(self, urls: Container[str]) -> None:
        """Give these gateways no new work, and all others their share of it."""
        for url, state in self.gateways.items():
            state.drained = url in urls

    def pool_of(self, url: str) -> str:
        """Return the first pool that the gateway is in."""
        return next(name for name, states in self.pools.items() if self.gateways[url] in states)

    def _ordered(self, states: list[GatewayState]) -> tuple[str, ...]:
        if len(states) == 1:
            return (states[0].url,)
        states.sort(key=_load)
        self._choices += 1
        states[0].last_chosen = self._choices
        return tuple([state.url for state in states])

    def record_response(self, url: str) -> bool:
        """Record that the gateway responded, to a request or a probe. Return True if that brings it back."""
        state = self.gateways[url]
        state.failures = 0
        came_back, state.ejected = state.ejected, False
        return came_back

    def record_failure(self, url: str) -> bool:
        """Record that the gateway took no connection or failed a probe. Return True if that ejects it."""
        state = self.gateways[url]
        state.failures += 1
        if state.ejected or state.failures < self.health[url].failures:
            return False
        state.ejected = True
        return True

    def retry_after(self, pools: Iterable[str]) -> int:
        """Return the seconds after which another attempt makes sense: the shortest ejection in `pools`, else 10."""
        seconds = [self.health[gateway.url].ejection_seconds for name in pools for gateway in self.pools[name]]
        return max(1, round(min(seconds, default=10.0)))


def rules_in_force(routing: Routing, fleet: Fleet) -> tuple[RouteRule, ...]:
    """Return the configured rules; without any, all requests go to the only pool."""
    return routing.rules or tuple(RouteRule(pool=name) for name in fleet.pools)
