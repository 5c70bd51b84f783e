"""Which request headers reach the gateway. Pure; names arrive in lower case, as the server hands them over.

A header is passed on, dropped, or read by the edge itself. Reserved names are those by which a client could speak for
somebody else: the connection, Tollgate, an orchestrator, another proxy.
"""

from collections.abc import Iterable
from enum import Enum, auto

from middlewares.bounded_cache import BoundedCache
from middlewares.exchange import Headers, Refusal


class Rule(Enum):
    """What happens to a header."""

    PASS = auto()
    DROP = auto()
    READ = auto()
    """Not passed on as it is; the edge reads its value."""
    REFUSE = auto()
    """`_` in place of `-` spells a reserved name: software behind Tollgate may take one for the other."""


_READ = frozenset(
    {
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"host",
        b"idempotency-key",
        b"livepeer",
        b"transfer-encoding",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    }
)
_HOP_BY_HOP = {
    b"http2-settings",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"upgrade",
}
_CREDENTIALS = {b"authorization", b"cookie", b"x-api-key"}
_HANDLED_HERE = {b"expect", b"x-request-id"}
_FORWARDING = {b"forwarded", b"via", b"x-real-ip"}
_DROP = frozenset(_HOP_BY_HOP | _CREDENTIALS | _HANDLED_HERE | _FORWARDING)
_DROP_PREFIXES = (b"livepeer", b"lp-", b"signer-", b"x-forwarded", b"x-tollgate-")


def rule_of(name: bytes) -> Rule:
    """Return the rule for a header name (gateway contract section 3, RFC 9110 section 7.6.1)."""
    if b"_" in name:
        return Rule.PASS if rule_of(name.replace(b"_", b"-")) is Rule.PASS else Rule.REFUSE
    if name in _READ:
        return Rule.READ
    return Rule.DROP if name in _DROP or name.startswith(_DROP_PREFIXES) else Rule.PASS


_rules = BoundedCache(rule_of, room=4096)


def sort_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[Headers, dict[bytes, bytes]]:
    """Return the headers to pass on, in order, and the values that the edge reads, by name.

    A name that occurs more than once is read as one value joined by `, ` (RFC 9110 section 5.3), so a second Host
    or Content-Length makes the value invalid. Raises `Refusal` (400) for a name that disguises a reserved one.
    """
    passed: Headers = []
    read: dict[bytes, bytes] = {}
    for header in headers:
        name, value = header
        rule = _rules[name]
        if rule is Rule.PASS:
            passed.append(header)
        elif rule is Rule.READ:
            read[name] = read[name] + b", " + value if name in read else value
        elif rule is Rule.REFUSE:
            detail = f"The header name `{name.decode('latin-1')}` disguises a reserved one; remove the header."
            raise Refusal(400, "reserved_field_name", detail, close=True)
    return passed, read


def drop_nominated(headers: Headers, connection: bytes) -> Headers:
    """Return `headers` without those that `connection`, the value of Connection, names (RFC 9110 section 7.6.1)."""
    names = _nominated[connection]
    return [header for header in headers if header[0] not in names] if names else headers


def _nominated_names(connection: bytes) -> frozenset[bytes]:
    return frozenset(option.strip().lower() for option in connection.split(b",")) - {b"", b"close", b"keep-alive"}


_nominated = BoundedCache(_nominated_names, room=128)
