"""Runs Lua of the ledger by itself, many cases in one call, and scripts at a time of the test's choosing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from middlewares.ledger.clock import RedisClock
from middlewares.store import Call, Script
from proxy.store.store import Store

NEW_YEAR = 4_102_444_800_000
"""2100-01-01, where a day, a month and a year end at once, and keys outlive the test by Redis's own clock."""
HOLD_MS = 30_000
TIME = b"redis.call('TIME')"
_LUA = files("middlewares.ledger") / "lua"


def library(name: str, dispatch: str) -> Script:
    """A script of one Lua library that answers each of its ARGV, a line of words, with `dispatch(words)`."""
    source = f"""
{(_LUA / f"{name}.lua").read_text()}
local answers = {{}}
for i, line in ipairs(ARGV) do
  local words = {{}}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word end
  answers[i] = (function(words) {dispatch} end)(words)
end
return answers
"""
    return Script(f"{name} under test", source.encode())


async def ask(store: Store, script: Script, lines: Sequence[str]) -> list[Any]:
    """The answer to each line."""
    answers: list[Any] = await store.run(Call(script, (), lines))
    assert len(answers) == len(lines)
    return answers


def timeline(script: Script) -> Script:
    """Many calls of a script in one, each of ARGV a JSON object: `clock` (Unix ms), `keys`, `args`. Answers each."""
    assert script.source.count(TIME) == 1
    source = b"""
local function call(KEYS, ARGV, clock_of_test)
%s
end
local answers = {}
for i, line in ipairs(ARGV) do
  local step = cjson.decode(line)
  local seconds = math.floor(step.clock / 1000)
  answers[i] = call(step.keys, step.args, { seconds, (step.clock - seconds * 1000) * 1000 })
end
return answers
""" % script.source.replace(TIME, b"clock_of_test")
    return Script(f"{script.name} over time", source)


class Clocked:
    """Runs scripts in the store at a Redis time of the test's choosing."""

    _HEAD = b"local clock_of_test = { table.remove(ARGV, #ARGV - 1), table.remove(ARGV) }\n"

    def __init__(self, store: Store, now_ms: int) -> None:
        self._store = store
        self._scripts: dict[Script, Script] = {}
        self.now_ms = now_ms

    def run(self, call: Call, *, deadline: float | None = None) -> asyncio.Future[Any]:
        """As `ScriptRunner.run`."""
        clocked = self._scripts.get(call.script)
        if clocked is None:
            source = self._HEAD + call.script.source.replace(TIME, b"clock_of_test")
            clocked = self._scripts[call.script] = Script(call.script.name, source)
        seconds, milliseconds = divmod(self.now_ms, 1000)
        args = [*call.all_args, seconds, milliseconds * 1000]
        return self._store.run(Call(clocked, call.all_keys, args), deadline=deadline)


class ClockOf(RedisClock):
    """A worker's idea of that time: exactly right."""

    def __init__(self, runner: Clocked) -> None:
        super().__init__()
        self._runner = runner

    def now_ms(self) -> int:
        return self._runner.now_ms
