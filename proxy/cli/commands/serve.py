"""`tollgate serve`: runs Tollgate in front of the configured gateways."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import ConfigError, load
from config.settings import Settings
from middlewares.store import StoreError
from proxy.cli.inputs import history_problems
from proxy.cli.output import Exit, fail

if TYPE_CHECKING:
    from proxy.server.processes.children import Template

Listening = Callable[[str], Awaitable[None]]
"""Function that is called with the public origin once requests are accepted."""


def serve(
    gateway_url: Annotated[str | None, typer.Option(help="Origin of the gateway, where one is enough.")] = None,
    listen: Annotated[str | None, typer.Option(help="Address of the public listener, host:port.")] = None,
    admin_listen: Annotated[str | None, typer.Option(help="Address of the private listener, host:port.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of worker processes.")] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; running requests finish first. SIGHUP replaces the workers one by one."""
    override(gateway_url=gateway_url, listen=listen, admin_listen=admin_listen, workers=workers)
    run(load())


def override(**options: object) -> None:
    """Set options as environment variables, so that they win over those, also in worker processes."""
    for name, value in options.items():
        if value is not None:
            os.environ[f"TOLLGATE_{name.upper()}"] = str(value)


async def _nothing(_: str) -> None:
    """Ignore the origin."""


def run(settings: Settings, listening: Listening = _nothing) -> None:
    """Run the supervisor. End the command with one line if it cannot start: exit code 3 without Redis, else 1.

    Raises `ConfigError` for a `data_dir` that cannot be used, and for settings that do not fit the data in Redis.
    """
    from proxy.cli.data_dir import require_data_dir  # noqa: PLC0415
    from proxy.control.payments.extra import payment_problems  # noqa: PLC0415
    from proxy.identity.provider.extra import provider_problems  # noqa: PLC0415
    from proxy.identity.siwe.extra import wallet_problems  # noqa: PLC0415
    from proxy.server import metric_files  # noqa: PLC0415

    problems = [*history_problems(settings), *wallet_problems(settings), *provider_problems(settings)]
    if problems := [*problems, *payment_problems(settings)]:
        raise ConfigError(problems)
    require_data_dir(settings)
    metric_files.prepare(settings.data_dir)  # before anything imports prometheus_client

    from proxy.server.processes.children import Template  # noqa: PLC0415

    with Template() as template:  # imports beside this process what workers need
        _supervise(settings, template, listening)


def _supervise(settings: Settings, template: Template, listening: Listening) -> None:
    from middlewares.response.log import configure_logging  # noqa: PLC0415
    from proxy.server.processes.workers import WorkerFailed  # noqa: PLC0415
    from proxy.server.supervisor import CannotListen, Supervisor  # noqa: PLC0415

    configure_logging(settings.log.level)
    try:
        asyncio.run(Supervisor(settings, template).run(listening))
    except CannotListen as error:
        fail(str(error), Exit.FAILED)
    except StoreError as error:
        fail(str(error), Exit.NO_STORE)
    except WorkerFailed:
        fail("a worker did not start; the lines above say why", Exit.FAILED)
