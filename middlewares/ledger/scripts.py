"""The ledger's Lua scripts, each composed with the libraries that it uses."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from middlewares.store import Script

_FOLDER = files(__package__)


def _source(name: str) -> str:
    folder, _, script = name.rpartition("/")
    return (_FOLDER / folder / "lua" / f"{script}.lua").read_text()


def _load(name: str, *libraries: str, writes: bool = True) -> Script:
    parts = [_source(part) for part in (*libraries, name)]
    return Script(Path(name).name, "\n".join(parts).encode(), writes)


_LOTS = "credit/lots"

_ADMITTING = ("integer", "period", "limits", _LOTS)
_SETTLING = ("integer", _LOTS)

ADMIT = _load("admit", *_ADMITTING)
SETTLE = _load("settle", *_SETTLING)
RENEW = _load("renew")
LEASES = _load("leases")
EXPIRED = _load("expired")
FIND = _load("find", writes=False)
DOUBT = _load("doubt")
CREDIT = _load("credit/credit", "integer", _LOTS)
RESOLVE = _load("resolution/resolve", "integer", _LOTS)
BALANCE = _load("credit/balance", "integer", _LOTS, writes=False)
EXPIRE = _load("credit/expire", "integer", _LOTS)
DUE = _load("credit/due", writes=False)
SESSION = _load("sessions/session", writes=False)
HELD = _load("held", writes=False)
STREAMS = _load("streams")
SNAPSHOT = _load("snapshot", writes=False)
SHARE = _load("shares/share", *_ADMITTING, "shares/beside", "shares/amounts")
RECALL = _load("shares/recall", "shares/beside")
FENCE = _load("group_commit/fence")
SHOW = _load("group_commit/show")
LOG_FOUND = _load("group_commit/log_found")


def _calling(name: str, *called: str, libraries: Iterable[str]) -> Script:
    """Return a script behind others as functions, which it calls: one script does what all of them do."""
    functions = [f"local function {each}(KEYS, ARGV)\n{_source(each)}\nend" for each in called]
    libraries = [_source(each) for each in (*libraries, "slice")]
    return Script(Path(name).name, "\n".join([*libraries, *functions, _source(name)]).encode())


TICK = _calling("sessions/tick", "settle", "admit", libraries=_ADMITTING)
SIGNER = _calling("sessions/signer", "admit", libraries=_ADMITTING)
COMMIT = _calling("group_commit/commit", "settle", libraries=_SETTLING)
