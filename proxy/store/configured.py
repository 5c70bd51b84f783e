"""Opens the store that the settings name, and knows the key names in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from config.loader import ConfigError, Problem
from config.settings import Settings
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import StoreUnavailable
from proxy.store import fingerprint
from proxy.store.address import Address, AddressError, Topology
from proxy.store.clients import CLIENT_ERRORS
from proxy.store.node import NodeChange
from proxy.store.store import Store


async def open_store(
    settings: Settings,
    *,
    on_state: Callable[[NodeChange], None] = lambda _: None,
    on_new_server: Callable[[], None] = lambda: None,
) -> Store:
    """Open the store of these settings; the callbacks are those of `Store.open`.

    Raises `StoreError`, and `ConfigError` where its address cannot be used or the data in it was written under other
    settings.
    """
    if problems := address_problems(settings):
        raise ConfigError(problems)
    url = settings.redis_url
    store = await Store.open(
        url.get_secret_value() if url else None,
        settings.data_dir,
        deadline=settings.store.deadline_seconds,
        control_timeout=settings.store.control_timeout_seconds,
        on_state=on_state,
        on_new_server=on_new_server,
    )
    try:
        await check_fingerprint(store, settings)
    except BaseException:
        await store.close()
        raise
    return store


def address_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong with the address of Redis, without connecting."""
    try:
        if settings.redis_url:
            Address.parse(settings.redis_url.get_secret_value())
    except AddressError as error:
        return [Problem("redis_url", str(error))]
    return []


async def check_fingerprint(store: Store, settings: Settings) -> None:
    """Raise `ConfigError` if the data in `store` was written under other settings. Raises `StoreError`."""
    await _or_unavailable(fingerprint.check(store.redis, settings))


async def claim_fingerprint(store: Store, settings: Settings) -> None:
    """Keep the fingerprint of these settings with data that has none yet. Raises as `check_fingerprint`."""
    await _or_unavailable(fingerprint.claim(store.redis, settings))


async def _or_unavailable(work: Awaitable[None]) -> None:
    try:
        await work
    except CLIENT_ERRORS as error:
        raise StoreUnavailable(f"the fingerprint of the data in Redis cannot be read: {error}") from None


def redis_keys(settings: Settings) -> RedisKeys:
    """Return the names of the ledger's keys under these settings."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    cluster = url is not None and Address.parse(url).topology is Topology.CLUSTER
    return RedisKeys(settings.store.hash_tags, cluster=cluster)
