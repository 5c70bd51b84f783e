"""The data's fingerprint: the settings that all data in Redis was written with, kept beside it.

With another number of hash tags Tollgate looks for holds, usage and wallets where they are not; with another currency
it adds up amounts that do not belong together. Nothing of that fails by itself, so the settings are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from redis.asyncio import Redis, RedisCluster

from config.loader import ConfigError, Problem
from config.settings import Settings
from middlewares.ledger.redis_keys import PREFIX

NAME = f"{PREFIX}fingerprint"
"""Redis key of the fingerprint (JSON)."""
KEYS_VERSION = 1
"""Version of the names and types of keys under `PREFIX`; goes up when an earlier Tollgate could not read them."""


class Fingerprint(msgspec.Struct, frozen=True):
    """What has to stay the same as long as there is data."""

    hash_tags: int
    currency: str
    decimals: int
    keys_version: int

    @classmethod
    def of(cls, settings: Settings) -> Fingerprint:
        """Return the fingerprint of data that is written under these settings."""
        return cls(settings.store.hash_tags, settings.currency.code, settings.currency.decimals, KEYS_VERSION)


async def claim(redis: Redis | RedisCluster, settings: Settings) -> None:
    """Write the fingerprint where there is none, and check it. Raises as `check`."""
    await redis.set(NAME, msgspec.json.encode(Fingerprint.of(settings)), nx=True)
    await check(redis, settings)


async def check(redis: Redis | RedisCluster, settings: Settings) -> None:
    """Raise `ConfigError`, one line for each setting that the data in Redis was not written with.

    Data without a fingerprint passes. Raises the errors of redis-py where Redis fails.
    """
    stored = await redis.get(NAME)
    if stored is None:
        return
    try:
        written = msgspec.json.decode(stored, type=Fingerprint)
    except msgspec.DecodeError as error:
        problem = Problem("redis_url", f"the key {NAME} in Redis cannot be read: {error}; restore it from a backup")
        raise ConfigError([problem]) from None
    if problems := list(differences(written, Fingerprint.of(settings))):
        raise ConfigError(problems)


def differences(written: Fingerprint, configured: Fingerprint) -> Iterator[Problem]:
    """Yield a problem for each setting that data was not written with."""
    if written.keys_version != configured.keys_version:
        yield Problem(
            "redis_url",
            f"the data in Redis has keys of version {written.keys_version}, and this Tollgate has version "
            f"{configured.keys_version}; run the Tollgate that wrote it, or use another Redis",
        )
    settings = {
        "store.hash_tags": (configured.hash_tags, written.hash_tags),
        "currency.code": (configured.currency, written.currency),
        "currency.decimals": (configured.decimals, written.decimals),
    }
    for path, (now, then) in settings.items():
        if now != then:
            yield Problem(
                path, f"is {now}, but the data in Redis was written with {then}; set it to {then}, or use another Redis"
            )
