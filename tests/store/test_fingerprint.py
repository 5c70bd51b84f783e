"""Data written under other settings is refused, with a line for each of them that names both values."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.loader import ConfigError
from config.settings import Settings
from proxy.store.configured import claim_fingerprint, open_store
from proxy.store.fingerprint import NAME
from proxy.store.store import Store
from tests.control.redis_fixtures import redis_server, store
from tests.store.servers import RedisServer

__all__ = ["redis_server", "store"]


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Settings:
    return Settings(redis_url=SecretStr(redis_server.url), data_dir=tmp_path)


def changed(settings: Settings, **members: Any) -> Settings:
    return Settings(redis_url=settings.redis_url, data_dir=settings.data_dir, **members)


async def test_data_without_a_fingerprint_gets_one_once(settings: Settings, store: Store) -> None:
    await store.redis.set("tollgate:{t3}:usage:app:20261121", "as written before there were fingerprints")
    async with await open_store(settings):
        assert await store.redis.get(NAME) is None  # looking is not writing
    await claim_fingerprint(store, settings)
    written = await store.redis.get(NAME)
    assert written == b'{"hash_tags":16,"currency":"ETH","decimals":18,"keys_version":1}'
    with pytest.raises(ConfigError):
        await claim_fingerprint(store, changed(settings, store={"hash_tags": 8}))
    assert await store.redis.get(NAME) == written
    async with await open_store(settings):
        pass


async def test_every_difference_is_one_line_with_both_values(settings: Settings, store: Store) -> None:
    await claim_fingerprint(store, settings)
    other = changed(settings, store={"hash_tags": 8}, currency={"code": "USD", "decimals": 6})
    with pytest.raises(ConfigError) as refused:
        await open_store(other)
    then = "but the data in Redis was written with"
    assert str(refused.value).splitlines() == [
        f"store.hash_tags: is 8, {then} 16; set it to 16, or use another Redis",
        f"currency.code: is USD, {then} ETH; set it to ETH, or use another Redis",
        f"currency.decimals: is 6, {then} 18; set it to 18, or use another Redis",
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"hash_tags":16,"currency":"ETH","decimals":18,"keys_version":2}', "has keys of version 2"),
        ("{}", "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
async def test_a_fingerprint_of_another_version_is_refused(
    settings: Settings, store: Store, value: str, said: str
) -> None:
    await store.redis.set(NAME, value)
    with pytest.raises(ConfigError, match=f"^redis_url: .*{said}"):
        await open_store(settings)
