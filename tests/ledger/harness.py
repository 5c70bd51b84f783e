"""Runs Lua of the ledger by itself, many cases in one call, and scripts at a time of the test's choosing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from middlewares.ledger.port import Script
from proxy.store.store import Store

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
    answers: list[Any] = await store.run(script, [], lines)
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
