"""Hazard: a client of Redis swallows a cancellation, and whoever waits for its task waits for ever."""

import asyncio

from proxy.store.clients import end


async def test_a_task_that_swallows_a_cancellation_ends_with_the_next() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    async def failed() -> None:
        raise ValueError

    tasks = [asyncio.create_task(work) for work in (deaf(), failed(), asyncio.Event().wait())]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await end(tasks)
    assert swallowed == 2
    assert [task.cancelled() for task in tasks] == [True, False, True]
    assert isinstance(tasks[1].exception(), ValueError)
