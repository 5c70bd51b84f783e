"""A store that fails at the test's word, in front of a real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from middlewares.store import Argument, Script, StoreTimeout, StoreUnavailable
from proxy.store.store import Store


class UnreliableStore:
    """A script runner that passes calls on to the store it points at, or loses them on the way there or back."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away = False
        """Nothing gets through."""
        self.deaf = False
        """Calls are run, but nobody hears the answers."""

    async def run(
        self,
        script: Script,
        keys: Sequence[Argument],
        args: Sequence[Argument],
        *,
        deadline: float | None = None,
    ) -> Any:
        """As `ScriptRunner.run`."""
        if self.away:
            raise StoreUnavailable("nobody there")
        reply = await self.store.run(script, keys, args, deadline=deadline)
        if self.deaf:
            raise StoreTimeout("no answer", may_have_run=True)
        return reply

    def begin(self, *_args: object) -> bool:
        """As `ScriptRunner.begin`: every call goes through `run`."""
        return False
