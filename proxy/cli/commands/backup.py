"""`tollgate backup`: copies all data of one machine while it serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from config.loader import load
from config.settings import Settings
from proxy.cli.output import Exit, Json, bad_input, fail, new_path, print_one
from proxy.cli.session import CommandSession, run

if TYPE_CHECKING:
    from proxy.backup.manifest import Manifest


def backup(
    folder: Annotated[Path, typer.Argument(help="New folder for the backup.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Copy embedded Redis, journals and history as one consistent set, whether Tollgate serves or not."""
    target = new_path(folder, "folder")
    settings = load()
    require_local_data(settings)

    async def work(session: CommandSession) -> Manifest:
        from redis.asyncio import Redis  # noqa: PLC0415

        from proxy.backup.backup import BackupFailed, take  # noqa: PLC0415
        from proxy.backup.sources import SnapshotFailed  # noqa: PLC0415
        from proxy.store.configured import redis_keys  # noqa: PLC0415

        try:
            return await take(cast("Redis", session.store.redis), redis_keys(settings), settings, target)
        except (BackupFailed, SnapshotFailed) as error:
            fail(str(error), Exit.FAILED)

    taken = run(work, settings)
    size = sum(each.size for each in taken.files.values())
    print_one({"backup": taken.id, "begun": taken.begun, "files": len(taken.files), "bytes": size}, as_json)


def require_local_data(settings: Settings) -> None:
    """End the command unless all data is in `data_dir`: no copy of ours is consistent with another machine's."""
    places = (("redis_url", "Redis", settings.redis_url), ("history_url", "history", settings.history_url))
    for name, what, url in places:
        if url is not None:
            bad_input(
                f"this is for the data in data_dir, and {name} names a {what} elsewhere: back that up with its own "
                "tools, as deploy/README.md says under Backups"
            )
