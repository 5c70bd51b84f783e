"""The `tollgate` command. Exit codes: 1 the operation failed, 2 wrong arguments or configuration, 3 no Redis."""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from config.base import plain_words
from config.loader import CONFIG_VARIABLE, URL_VARIABLE, ConfigError
from proxy.cli.commands import (
    apps,
    attention,
    developers,
    gateways,
    invites,
    issuer,
    key_life,
    keys,
    members,
    operators,
    orchestrators,
    portal,
    users,
    webhooks,
)
from proxy.cli.commands.audit import app as audit_app
from proxy.cli.commands.backup import backup
from proxy.cli.commands.check import check
from proxy.cli.commands.credits import app as credits_app
from proxy.cli.commands.demo import demo
from proxy.cli.commands.events import events
from proxy.cli.commands.explain import explain
from proxy.cli.commands.export import export
from proxy.cli.commands.history import app as history_app
from proxy.cli.commands.restore import restore
from proxy.cli.commands.serve import serve
from proxy.cli.commands.server import plans, reload, status
from proxy.cli.commands.statements import statements
from proxy.cli.commands.usage import usage
from proxy.cli.commands.verify import verify
from proxy.cli.commands.windows import windows
from proxy.cli.output import Exit, open_missing_streams, report, say_no_more
from proxy.cli.session import on_the_machine_only


class CommandLine(TyperGroup):
    """All commands, which say in plain words what an option does not take; typer has pydantic say it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = plain_words(error.message)
            raise


app = typer.Typer(
    cls=CommandLine,
    name="tollgate",
    help="A reverse proxy with keys, limits, metering and billing for Livepeer gateways.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.command()(demo)
app.command()(check)
app.command()(usage)
app.command()(events)
app.command()(explain)
app.command()(export)
app.command()(windows)
app.command()(statements)
app.command()(verify)
app.command()(plans)
app.command()(status)
app.command()(reload)
app.command()(backup)
app.command()(restore)
app.add_typer(apps.app, name="apps")
keys.app.command()(key_life.change)
keys.app.command()(key_life.show)
keys.app.command()(key_life.scan)
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(operators.app, name="operators")
app.add_typer(attention.app, name="attention")
app.add_typer(developers.app, name="developers")
app.add_typer(members.app, name="members")
app.add_typer(invites.app, name="invites")
app.add_typer(portal.app, name="portal")
app.add_typer(issuer.app, name="issuer")
app.add_typer(orchestrators.app, name="orchestrators")
app.add_typer(gateways.app, name="gateways")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(credits_app, name="credits")
app.add_typer(history_app, name="history")
app.add_typer(audit_app, name="audit")

MACHINE_ONLY = {"serve", "demo", "check", "backup", "restore", "export", "windows"}
"""Commands that need files, processes or settings of the machine."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a file that takes no more, standard output above all."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tollgate {version('naap-tollgate')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file.", envvar=CONFIG_VARIABLE, show_default=False)
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Address of a private listener, whose admin API does what the command says.",
            envvar=URL_VARIABLE,
            show_default=False,
        ),
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of all commands, given before the command."""
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config)  # worker processes read it, too
    if url is not None:
        os.environ[URL_VARIABLE] = url
    if context.invoked_subcommand in MACHINE_ONLY:
        on_the_machine_only()


def main() -> None:
    """Run the command line; every configuration error, and a full disk, is one line on standard error."""
    open_missing_streams()
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            report(problem)
        sys.exit(Exit.BAD_INPUT)
    except BrokenPipeError:  # typer, which ends quietly without standard output, was about to say what is wrong
        say_no_more()
        sys.exit(Exit.BAD_INPUT)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        report(f"not everything could be written: {error.strerror}")
        sys.exit(Exit.FAILED)


if __name__ == "__main__":
    main()
