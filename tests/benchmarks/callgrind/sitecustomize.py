"""Has a supervisor start its workers under another program, which `BENCH_WORKER_UNDER` names, one word a line.

Python imports this by itself in processes that have the folder in their `PYTHONPATH`; `tests.benchmarks.instructions`
puts it there.
"""

import asyncio
import os
from typing import Any

_start = asyncio.create_subprocess_exec


async def _start_under(*command: Any, **options: Any) -> asyncio.subprocess.Process:
    under = os.environ["BENCH_WORKER_UNDER"].splitlines() if "proxy.server.worker" in command else ()
    return await _start(*under, *command, **options)


if "BENCH_WORKER_UNDER" in os.environ:
    asyncio.create_subprocess_exec = _start_under
