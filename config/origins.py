"""Origins of web pages, as settings and keys name them."""

import re
from ipaddress import IPv6Address
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:\[(?P<address>[0-9a-f:.]+)\]|[^/?#@\s,A-Z:\[\]]+)(?::(?P<port>0|[1-9]\d{0,4}))?",
    re.ASCII,
)
USUAL_PORTS = {"http": 80, "https": 443}
"""Ports by scheme that browsers leave out of an origin (RFC 6454 section 6)."""
_AS_SENT = (
    "an origin as browsers send it, such as https://app.example: lower case, no path, no slash, no port 443, and "
    "letters that are not ASCII as xn--"
)


def browser_origin(value: str) -> str:
    """Return `value` if it is an origin as browsers send it: with any other text no page would match.

    Raises `ValueError`.
    """
    match = _ORIGIN.fullmatch(value) if value.isascii() else None
    if match is None or not _is_sent(**match.groupdict()):
        raise ValueError(f"must be {_AS_SENT}")
    return value


def _is_sent(scheme: str, address: str | None, port: str | None) -> bool:
    """Return True if browsers send such a port, and such an IPv6 address."""
    if port is not None and (int(port) > 65_535 or int(port) == USUAL_PORTS.get(scheme)):
        return False
    try:
        return address is None or str(IPv6Address(address)) == address
    except ValueError:
        return False


def _origin_or_all(value: str) -> str:
    try:
        return value if value == "*" else browser_origin(value)
    except ValueError:
        raise ValueError(f"must be `*`, or {_AS_SENT}") from None


BrowserOrigin = Annotated[
    str, AfterValidator(_origin_or_all), WithJsonSchema({"type": "string", "format": "origin or `*`"})
]
