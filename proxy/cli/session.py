"""The open store that commands work on, whether a server runs on it or not.

Modules that are slow to import are imported when a command needs them, so that `tollgate --help` is fast.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from config.loader import OPERATOR_KEY_VARIABLE, URL_VARIABLE, ConfigError, load
from config.settings import Settings
from middlewares.auth.keys import pepper_of
from middlewares.store import StoreError
from proxy.cli.inputs import history_problems
from proxy.cli.output import Exit, bad_input, fail

if TYPE_CHECKING:
    from proxy.api.admin.operations.ports import Operations
    from proxy.control.apps import Apps
    from proxy.control.audit.line import Actor
    from proxy.history.reader import LedgerSources
    from proxy.history.store import History
    from proxy.store.store import Store

Result = TypeVar("Result")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class CommandSession:
    """An open store, the apps in it, and the history behind it."""

    settings: Settings
    store: Store
    apps: Apps
    history: History

    @property
    def sources(self) -> LedgerSources:
        """Return where events and totals are read from."""
        from proxy.history.reader import LedgerSources  # noqa: PLC0415
        from proxy.store.configured import redis_keys  # noqa: PLC0415

        return LedgerSources(self.store.redis, redis_keys(self.settings), self.history)


def operator() -> Actor:
    """Return who runs this command: the name of the account, its number where it has no name."""
    from proxy.control.audit.line import Actor, ActorKind  # noqa: PLC0415

    try:
        return Actor(ActorKind.OPERATOR, getpass.getuser())
    except (KeyError, OSError):
        return Actor(ActorKind.OPERATOR, f"uid {os.getuid()}")


def operate(
    work: Callable[[Operations], Awaitable[Result]],
    *,
    check: Callable[[Settings], None] = lambda _: None,
) -> Result:
    """Do an operation through the admin API that `--url` names, else on the store of the loaded settings.

    `check` raises for what those settings refuse, before the store is opened. End the command as `run` does; with exit
    code 1 or 2, too, for an act that is refused.
    """
    from middlewares.exchange import Refusal  # noqa: PLC0415
    from proxy.api.admin.operations.errors import ActRefused  # noqa: PLC0415

    url = os.environ.get(URL_VARIABLE)
    try:
        if url:
            from proxy.cli.remote.operations import through  # noqa: PLC0415

            return asyncio.run(through(work, url, os.environ.get(OPERATOR_KEY_VARIABLE, "")))
        settings = load()
        check(settings)
        return _on_the_machine(_operation(work), settings)
    except (ActRefused, Refusal) as error:
        fail(str(error), Exit.BAD_INPUT if error.status == 400 else Exit.FAILED)
    except StoreError as error:
        fail(str(error), Exit.NO_STORE)


def _operation(work: Callable[[Operations], Awaitable[Result]]) -> Callable[[CommandSession], Awaitable[Result]]:
    async def with_session(session: CommandSession) -> Result:
        from proxy.api.admin.operations.acts import Acts  # noqa: PLC0415
        from proxy.api.admin.operations.direct import DirectOperations  # noqa: PLC0415
        from proxy.api.admin.operations.resources import Resources  # noqa: PLC0415
        from proxy.control.audit.log import AuditLog  # noqa: PLC0415
        from proxy.server.background.history_metrics import HistoryMetrics  # noqa: PLC0415
        from proxy.store.configured import redis_keys  # noqa: PLC0415

        settings, store, history = session.settings, session.store, session.history
        resources = Resources.of(settings, store, redis_keys(settings), history, observer=HistoryMetrics.apart)
        return await work(DirectOperations(resources, Acts(AuditLog(store.redis), operator())))

    return with_session


def on_the_machine_only() -> None:
    """End the command, with one line, where `--url` says that it is for another machine."""
    if os.environ.get(URL_VARIABLE):
        bad_input("this command works on the machine alone: leave out --url (and TOLLGATE_URL)")


def run(work: Callable[[CommandSession], Awaitable[Result]], settings: Settings | None = None) -> Result:
    """Open the store of `settings` (else of the loaded ones), do the work, close it.

    End the command with one line: exit code 3 if Redis cannot be reached, 1 if a record does not exist. Configuration
    that is wrong, or that the data in Redis was not written under, raises `ConfigError`, which `main` reports.
    """
    on_the_machine_only()
    return _on_the_machine(work, settings or load())


def _on_the_machine(work: Callable[[CommandSession], Awaitable[Result]], settings: Settings) -> Result:
    from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415

    from proxy.control.records import UnknownRecord  # noqa: PLC0415

    try:
        return asyncio.run(_run(work, settings))
    except UnknownRecord as error:
        fail(str(error), Exit.FAILED)
    except (StoreError, RedisError, RedisClusterException) as error:
        fail(str(error), Exit.NO_STORE)


async def _run(work: Callable[[CommandSession], Awaitable[Result]], settings: Settings) -> Result:
    from proxy.control.apps import Apps  # noqa: PLC0415
    from proxy.store.configured import open_store  # noqa: PLC0415

    async with await open_store(settings) as store, opened_history(settings) as history:
        apps = Apps(store.redis, pepper_of(settings.auth))
        return await work(CommandSession(settings, store, apps, history))


def run_history(work: Callable[[History], Awaitable[Result]], settings: Settings | None = None) -> Result:
    """Do work on the history alone. End the command as `run` does."""
    on_the_machine_only()

    async def opened() -> Result:
        async with opened_history(settings or load()) as history:
            return await work(history)

    try:
        return asyncio.run(opened())
    except StoreError as error:
        fail(str(error), Exit.NO_STORE)


@asynccontextmanager
async def opened_history(settings: Settings) -> AsyncIterator[History]:
    """Yield the history of these settings, which connects at its first use. Raises `ConfigError`."""
    from proxy.history.store import History  # noqa: PLC0415

    if problems := history_problems(settings):
        raise ConfigError(problems)
    history = History.of(settings)
    try:
        yield history
    finally:
        await history.close()


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop`, once, on Ctrl-C or SIGTERM; a second signal ends the process as usual."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        release()
        stop()

    def release() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        release()
