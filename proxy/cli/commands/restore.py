"""`tollgate restore`: makes `data_dir` what a backup has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from config.loader import load
from proxy.cli.commands.backup import require_local_data
from proxy.cli.output import Exit, Json, fail, print_one


def restore(
    folder: Annotated[Path, typer.Argument(help="Folder of the backup.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Restore where there is data; it is moved into a folder beside the new.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup while Tollgate is stopped. Restoring the same backup again changes nothing."""
    from proxy.backup.manifest import BadBackup  # noqa: PLC0415
    from proxy.backup.restore import RestoreFailed  # noqa: PLC0415
    from proxy.backup.restore import restore as restore_into  # noqa: PLC0415
    from proxy.store.configured import redis_keys  # noqa: PLC0415

    settings = load()
    require_local_data(settings)
    try:
        done = asyncio.run(restore_into(folder, redis_keys(settings), settings, force=force))
    except (BadBackup, RestoreFailed) as error:
        fail(str(error), Exit.FAILED)
    print_one(
        {
            "backup": done.backup,
            "begun": done.begun,
            "changed": done.changed,
            "data_dir": str(settings.data_dir),
            "moved_to": done.aside,
        },
        as_json,
    )
