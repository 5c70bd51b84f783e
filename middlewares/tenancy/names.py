"""Names of resources at the gateway, where all clients share one namespace: each app's carry its client id. Pure.

Manifests, stream names and stream ids are global at a gateway (gateway contract section 9.7): whoever uses a name
joins what runs under it. `cam` of app `app_a...` is therefore `app_a..._cam` there. Letters, digits and `_` alone
separate: WHEP splits stream names at `-`, and a `.` begins an extension (sections 1.4 and 1.5).
"""

import re

_OWNED = re.compile(r"(app_[a-z2-7]{16})_(.+)", re.DOTALL)
"""A client id, as the control plane makes them, and a name; the id's length is fixed, so there is one reading."""


def at_gateway(app: str, name: str) -> str:
    """Return what the gateway calls `name` of this app (its client id); different for every pair."""
    return f"{app}_{name}"


def owner_and_name(gateway_name: str) -> tuple[str, str] | None:
    """Return the app and the name that `at_gateway` made this of; None: it names no app."""
    owned = _OWNED.fullmatch(gateway_name)
    return (owned[1], owned[2]) if owned else None


def for_caller(app: str, name: str) -> str | None:
    """Return what the gateway calls the resource that a client of `app` calls `name`; None: it is another app's.

    Clients use their own names, or those that playlists and URLs of the gateway show: these carry the app's id already.
    """
    owned = owner_and_name(name)
    if owned is None:
        return at_gateway(app, name)
    return name if owned[0] == app else None
