"""Streams that a credential is limited to, by the names that its app gives them. Pure."""

from __future__ import annotations

import re

from middlewares.exchange import Principal, Refusal

_OUTPUT = re.compile(r"(-[0-9a-f]{8})?-out\Z")
"""What WHEP adds to the name of a stream: the gateway's own id of its request, perhaps, and `out`."""


def check_stream(principal: Principal, name: str) -> None:
    """Raise `Refusal` (403) if the credential is limited to streams, and not to this one.

    `name` is that at the gateway, which begins with the app's id.
    """
    if principal.streams is not None and name.removeprefix(f"{principal.app}_") not in principal.streams:
        raise Refusal(403, "stream_not_allowed", "The credential is limited to other streams.")


def check_viewed_stream(principal: Principal, output: str) -> None:
    """Raise `Refusal` as `check_stream`, by the name under which WHEP plays a stream."""
    check_stream(principal, _OUTPUT.sub("", output))
