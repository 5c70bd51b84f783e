"""The store as commands use it, whether a server runs on it or not.

What is heavy to import is imported when a command needs it: `tollgate --help` has to answer at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from config.loader import load
from config.settings import Settings
from middlewares.auth.keys import pepper_of
from middlewares.store import StoreError
from proxy.cli.output import Exit, fail

if TYPE_CHECKING:
    from proxy.control.api_keys import ApiKeys
    from proxy.control.apps import Apps
    from proxy.control.users import Users
    from proxy.store.store import Store

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Session:
    """An open store and the records in it."""

    settings: Settings
    store: Store
    apps: Apps
    keys: ApiKeys
    users: Users


def run(work: Callable[[Session], Awaitable[Result]], settings: Settings | None = None) -> Result:
    """Open the store of `settings` (else of the loaded ones), do the work, close it.

    Ends the command with one line: exit code 3 if Redis cannot be reached, 1 for what does not exist in it. Wrong
    configuration raises `ConfigError`, which `main` reports.
    """
    from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415

    from proxy.control.records import UnknownRecord  # noqa: PLC0415

    try:
        return asyncio.run(_run(work, settings or load()))
    except UnknownRecord as error:
        fail(str(error), Exit.FAILED)
    except (StoreError, RedisError, RedisClusterException) as error:
        fail(str(error), Exit.NO_STORE)


async def _run(work: Callable[[Session], Awaitable[Result]], settings: Settings) -> Result:
    from proxy.control.api_keys import ApiKeys  # noqa: PLC0415
    from proxy.control.apps import Apps  # noqa: PLC0415
    from proxy.control.users import Users  # noqa: PLC0415
    from proxy.store.store import Store  # noqa: PLC0415

    url, pepper = settings.redis_url, pepper_of(settings.auth)
    async with await Store.open(
        url.get_secret_value() if url else None,
        settings.data_dir,
        deadline=settings.store.deadline_seconds,
        control_timeout=settings.store.control_timeout_seconds,
    ) as store:
        redis = store.redis
        return await work(Session(settings, store, Apps(redis, pepper), ApiKeys(redis, pepper), Users(redis)))
