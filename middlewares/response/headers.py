"""Which headers of a gateway's response reach the client. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from middlewares.exchange import Headers

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Meant for the next hop only (RFC 9110 section 7.6.1), together with whatever `Connection` nominates."""

WITHHELD = frozenset(
    {
        b"alt-svc",  # invites the client to bypass Tollgate
        b"date",  # Tollgate's server writes its own
        b"livepeer-balance",  # money shared by all tenants (gateway contract section 3)
        b"livepeer-eth-address",
        b"server",
        b"set-cookie",
        b"set-cookie2",
        b"x-control-url",  # of an orchestrator, as the four below (gateway contract section 1.7)
        b"x-data-url",
        b"x-events-url",
        b"x-publish-url",
        b"x-subscribe-url",
        b"x-request-id",  # Tollgate's own is sent instead
    }
)

WITHHELD_PREFIXES = (
    b"access-control-",  # cross-origin rules are Tollgate's configuration alone
    b"livepeer-payment",
    b"ratelimit",  # Tollgate's own limits are sent instead; a gateway's say nothing about this client
    b"x-orchestrator-",
    b"x-ratelimit-",
    b"x-rate-limit-",
    b"x-tollgate-",
)

_DROPPED = HOP_BY_HOP | WITHHELD
_NOMINATES_NOTHING = frozenset({b"keep-alive", b"close"})
_NOTHING: frozenset[bytes] = frozenset()
_LENGTH = frozenset({b"content-length"})
_LENGTHLESS = (204, 304)


def client_headers(headers: Iterable[tuple[bytes, bytes]], status: int) -> Headers:
    """Return the headers a client may see, in order; names are in lower case, values untouched.

    `Content-Length` stays, for it frames the same body; but not on responses without a body
    (RFC 9110 section 8.6), where the server would wait for that many bytes.
    """
    kept: Headers = []
    nominated = _LENGTH if status in _LENGTHLESS else _NOTHING
    for item in headers:
        name = item[0]
        if name in _DROPPED:
            if name == b"connection" and item[1] not in _NOMINATES_NOTHING:
                nominated = nominated | _nominated(item[1])
        elif not name.startswith(WITHHELD_PREFIXES):
            kept.append(item)
    return [item for item in kept if item[0] not in nominated] if nominated else kept


def client_status(status: int) -> int:
    """Return the status as a client can take it: 502 for one outside the classes of RFC 9110 section 15."""
    return status if 200 <= status < 600 else 502


def _nominated(connection: bytes) -> frozenset[bytes]:
    return frozenset(name.strip().lower() for name in connection.split(b","))
