"""Finds pools of which every gateway is ejected, and those that are back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from config.routing import Pool
from middlewares.ledger.redis_keys import PREFIX
from middlewares.ledger.settlement.event import iso
from proxy.control.records import Client
from proxy.control.webhook_endpoints import OPERATOR
from proxy.webhooks.notifications.notification import OF_OPERATOR, Notification, NotificationKind
from proxy.webhooks.notifications.round import Addressed, NotifierRound

DOWN = f"{PREFIX}pools-down"
"""Hash: pool -> since when it is down, in Unix milliseconds; so that it is notified once, whoever finds it."""

Health = Callable[[], Mapping[str, bool]]
"""Returns for each gateway, by its origin, whether all workers let it have new work; those not named are unknown."""


class PoolFinder:
    """Compares the health of the gateways, as the workers of this machine see it, with what was notified."""

    def __init__(self, client: Client, pools: Mapping[str, Pool], health: Health) -> None:
        self._client: Any = client
        self._pools = {name: [gateway.url for gateway in pool.gateways] for name, pool in pools.items()}
        self._health = health
        self._back: set[str] = set()
        """Pools that were found up again in the last round, and notified since."""

    async def find(self, current: NotifierRound) -> list[Addressed]:
        """Return the notifications about pools."""
        if not current.owners_that_want(OF_OPERATOR):
            return []
        health = self._health()
        if self._back:
            await self._client.hdel(DOWN, *self._back)
            self._back.clear()
        known = {name.decode(): int(since) for name, since in (await self._client.hgetall(DOWN)).items()}
        found: list[Addressed] = []
        for name, gateways in self._pools.items():
            down = not any(health.get(url, True) for url in gateways)
            since = known.get(name)
            if down and since is None:
                await self._client.hsetnx(DOWN, name, current.now)
                since = int(await self._client.hget(DOWN, name) or current.now)
            if down and since is not None:
                found += current.address(_notification(NotificationKind.POOL_DOWN, name, gateways, since))
            elif since is not None:
                found += current.address(_notification(NotificationKind.POOL_UP, name, gateways, since))
                self._back.add(name)
        return found


def _notification(kind: NotificationKind, pool: str, gateways: list[str], since: int) -> Notification:
    data = {"pool": pool, "gateways": gateways, "down_since": iso(since)}
    return Notification(kind, OPERATOR, (pool, str(since)), data)
