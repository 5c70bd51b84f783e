"""Names at the gateway: one namespace for all its clients, so each app's names carry the app's id. Pure.

Manifests, stream names and stream ids are global at a gateway (gateway contract section 9.7): whoever uses a name
joins what runs under it. `cam` of app `app_a...` is therefore `app_a..._cam` there. Letters, digits and `_` alone
separate: WHEP splits stream names at `-`, and a `.` begins an extension (sections 1.4 and 1.5).
"""

import re

_OWNED = re.compile(r"(app_[a-z2-7]{16})_(.+)", re.DOTALL)
"""A client id, as the control plane makes them, and a name: of fixed length, so there is one way to read it."""


def at_gateway(app: str, name: str) -> str:
    """What the gateway calls `name` of this app (its client id). No two pairs have the same answer."""
    return f"{app}_{name}"


def owner_and_name(gateway_name: str) -> tuple[str, str] | None:
    """The app and the name that `at_gateway` made this of; None: it names no app."""
    owned = _OWNED.fullmatch(gateway_name)
    return (owned[1], owned[2]) if owned else None


def for_caller(app: str, name: str) -> str | None:
    """What the gateway calls the resource that a client of `app` calls `name`; None: it is another app's.

    Clients say their own names, or what playlists and URLs of the gateway show them: those carry the app's id already.
    """
    owned = owner_and_name(name)
    if owned is None:
        return at_gateway(app, name)
    return name if owned[0] == app else None
