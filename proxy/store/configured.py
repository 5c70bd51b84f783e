"""Opens the store that the settings name, and knows the key names in it."""

from __future__ import annotations

from collections.abc import Callable

from config.settings import Settings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.address import Address, Topology
from proxy.store.node import NodeChange
from proxy.store.store import Store


async def open_store(
    settings: Settings,
    *,
    on_state: Callable[[NodeChange], None] = lambda _: None,
    on_new_server: Callable[[], None] = lambda: None,
) -> Store:
    """Open the store of these settings; the callbacks are those of `Store.open`. Raises `StoreError`."""
    url = settings.redis_url
    return await Store.open(
        url.get_secret_value() if url else None,
        settings.data_dir,
        deadline=settings.store.deadline_seconds,
        control_timeout=settings.store.control_timeout_seconds,
        on_state=on_state,
        on_new_server=on_new_server,
    )


def redis_keys(settings: Settings) -> RedisKeys:
    """Return the names of the ledger's keys under these settings."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    cluster = url is not None and Address.parse(url).topology is Topology.CLUSTER
    return RedisKeys(settings.store.hash_tags, cluster=cluster)
