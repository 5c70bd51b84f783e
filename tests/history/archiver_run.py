"""An archiver as a process, for tests that kill it: `python -m tests.history.archiver_run REDIS HISTORY FOLDER`.

Its lease is short, so that the next one need not wait. It prints a line for what it reports.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.archive import archiver, lease
from proxy.history.store import History
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive


async def main(redis: str, history: str, folder: str) -> None:
    """Archive until it is killed."""
    lease.LEASE_SECONDS = 0.3
    archiver.POLL_SECONDS = 0.02
    archiver.LONGEST_WAIT = 0.2
    while True:
        try:
            async with await Store.open(redis, Path(folder), deadline=1, control_timeout=2) as store:
                print("ready", flush=True)
                await Archive(store.redis, RedisKeys(TAGS, cluster=False), History.at(history)).archiver().run()
        except Exception as error:
            print(error, flush=True)
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
