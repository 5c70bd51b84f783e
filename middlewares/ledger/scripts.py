"""The ledger's scripts, each composed with the Lua libraries it stands on."""

from importlib.resources import files

from middlewares.ledger.port import Script

_LUA = files(__package__) / "lua"


def _load(name: str, *libraries: str, writes: bool = True) -> Script:
    parts = [(_LUA / f"{part}.lua").read_text() for part in (*libraries, name)]
    return Script(name, "\n".join(parts).encode(), writes)


ADMIT = _load("admit", "integer", "period")
SETTLE = _load("settle", "integer")
RENEW = _load("renew")
EXPIRED = _load("expired")
FIND = _load("find", writes=False)
CREDIT = _load("credit", "integer")
BALANCE = _load("balance", writes=False)
MOMENT = _load("moment", writes=False)
