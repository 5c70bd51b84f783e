"""Runs Lua of the ledger by itself, many cases in one call, and scripts at a time of the test's choosing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from middlewares.ledger.port import Script
from proxy.store.store import Store

CLOCK = b"local clock = redis.call('TIME')\n"
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
    answers: list[Any] = await store.run(script, [], lines)
    assert len(answers) == len(lines)
    return answers


def at(script: Script, now_ms: int) -> Script:
    """The script as if it ran at this Redis time."""
    clock = b"local clock = { %d, %d }\n" % (now_ms // 1000, now_ms % 1000 * 1000)
    assert script.source.count(CLOCK) == 1
    return Script(script.name, script.source.replace(CLOCK, clock))
