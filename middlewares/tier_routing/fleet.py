"""The gateways as one worker knows them: how busy, how healthy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from config.routing import Health, Pool


@dataclass(slots=True)
class GatewayState:
    """One gateway, seen from one worker. Times are seconds of `time.monotonic`."""

    url: str
    in_flight: int = 0
    failures: int = 0
    """In a row."""
    ejected_until: float = 0.0
    turn: int = 0
    """When it was chosen last, counted in choices."""


def _busyness(state: GatewayState) -> tuple[int, int]:
    return state.in_flight, state.turn


class Fleet:
    """Least-in-flight choice and passive health over all pools. A gateway of several pools has one state."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._health: dict[str, Health] = {}
        self.gateways: dict[str, GatewayState] = {}
        for pool in pools.values():
            for gateway in pool.gateways:
                self.gateways.setdefault(gateway.url, GatewayState(gateway.url))
                self._health.setdefault(gateway.url, pool.health)
        self.pools = {
            name: tuple(self.gateways[gateway.url] for gateway in pool.gateways) for name, pool in pools.items()
        }
        self._turn = 0

    def candidates(self, pools: Sequence[str], now: float) -> tuple[str, tuple[str, ...]]:
        """The first pool with a healthy gateway and its healthy gateways, least busy first; ("", ()) if none has.

        Of equally busy gateways the one that was chosen longest ago. A pool whose gateways are all ejected is tried all
        the same where there is no other: an ejection is a guess, a refusal is certain.
        """
        for name in pools:
            healthy = [gateway for gateway in self.pools[name] if gateway.ejected_until <= now]
            if healthy:
                return name, self._ordered(healthy)
        if not pools:
            return "", ()
        return pools[0], self._ordered(list(self.pools[pools[0]]))

    def is_healthy(self, url: str, now: float) -> bool:
        """Is this a gateway of any pool, and not ejected?"""
        state = self.gateways.get(url)
        return state is not None and state.ejected_until <= now

    def pool_of(self, url: str) -> str:
        """The first pool that the gateway is in."""
        return next(name for name, states in self.pools.items() if self.gateways[url] in states)

    def _ordered(self, states: list[GatewayState]) -> tuple[str, ...]:
        if len(states) == 1:
            return (states[0].url,)
        states.sort(key=_busyness)
        self._turn += 1
        states[0].turn = self._turn
        return tuple([state.url for state in states])

    def succeeded(self, url: str) -> None:
        """The gateway answered."""
        self.gateways[url].failures = 0

    def failed(self, url: str, now: float) -> bool:
        """The gateway could not be reached, dropped the request or said 502-504. True: it is ejected from now on."""
        state, health = self.gateways[url], self._health[url]
        state.failures += 1
        if state.failures < health.failures or state.ejected_until > now:
            return False
        state.ejected_until = now + health.ejection_seconds
        return True

    def retry_after(self, pools: Iterable[str]) -> int:
        """Seconds after which another try makes sense."""
        seconds = [self._health[gateway.url].ejection_seconds for name in pools for gateway in self.pools[name]]
        return max(1, round(min(seconds, default=10.0)))
