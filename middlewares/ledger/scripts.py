"""The ledger's Lua scripts, each composed with the libraries that it uses."""

from importlib.resources import files

from middlewares.store import Script

_FOLDER = files(__package__)


def _source(name: str) -> str:
    folder, _, script = name.rpartition("/")
    return (_FOLDER / folder / "lua" / f"{script}.lua").read_text()


def _load(name: str, *libraries: str, writes: bool = True) -> Script:
    parts = [_source(part) for part in (*libraries, name)]
    return Script(name, "\n".join(parts).encode(), writes)


ADMIT = _load("admit", "integer", "period")
SETTLE = _load("settle", "integer")
RENEW = _load("renew")
LEASES = _load("leases")
EXPIRED = _load("expired")
FIND = _load("find", writes=False)
DOUBT = _load("doubt")
CREDIT = _load("credit", "integer")
RESOLVE = _load("resolution/resolve", "integer")
BALANCE = _load("balance", writes=False)
SESSION = _load("session", writes=False)
HELD = _load("held", writes=False)
STREAMS = _load("streams")
SNAPSHOT = _load("snapshot", writes=False)


def _tick() -> Script:
    """Return `lua/tick.lua` behind settle and admit as functions: one script does both."""
    functions = [f"local function {name}(KEYS, ARGV)\n{_source(name)}\nend" for name in ("settle", "admit")]
    return Script("tick", "\n".join([_source("integer"), _source("period"), *functions, _source("tick")]).encode())


TICK = _tick()
