"""Which request fields reach the gateway. Pure; names arrive in lower case, as the server hands them over.

A field is passed on, dropped, or read by the edge itself. Reserved names are those a client could speak with in
somebody else's voice: the connection's, the gate's, an orchestrator's, another proxy's.
"""

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache

from middlewares.bounded_cache import BoundedCache
from middlewares.exchange import Headers, Refusal


class Rule(Enum):
    """What happens to a field."""

    PASS = auto()
    DROP = auto()
    READ = auto()
    """Not passed on as it is; the edge looks at its value."""
    REFUSE = auto()
    """`_` in place of `-` spells a reserved name: software behind the gate may take one for the other."""


_READ = frozenset(
    {
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"host",
        b"livepeer",
        b"transfer-encoding",
        b"upgrade",
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
}
_CREDENTIALS = {b"authorization", b"cookie", b"x-api-key"}
_ANSWERED_HERE = {b"expect", b"x-request-id"}
_FORWARDING = {b"forwarded", b"via", b"x-real-ip"}
_DROP = frozenset(_HOP_BY_HOP | _CREDENTIALS | _ANSWERED_HERE | _FORWARDING)
_DROP_PREFIXES = (b"livepeer", b"lp-", b"signer-", b"x-forwarded", b"x-tollgate-")

_PASS, _READ_RULE, _REFUSE = Rule.PASS, Rule.READ, Rule.REFUSE


def rule_of(name: bytes) -> Rule:
    """The rule for a field name (gateway contract section 3, RFC 9110 section 7.6.1)."""
    if b"_" in name:
        return Rule.PASS if rule_of(name.replace(b"_", b"-")) is Rule.PASS else Rule.REFUSE
    if name in _READ:
        return Rule.READ
    return Rule.DROP if name in _DROP or name.startswith(_DROP_PREFIXES) else Rule.PASS


_rules = BoundedCache(rule_of, room=4096)


def sort_headers(fields: Iterable[tuple[bytes, bytes]]) -> tuple[Headers, dict[bytes, bytes]]:
    """The fields to pass on, in order, and the values the edge reads, by name.

    A name that occurs more than once is read as one value joined by `, ` (RFC 9110 section 5.3), so a second Host
    or Content-Length makes the value invalid. Raises `Refusal` (400) for a name that disguises a reserved one.
    """
    passed: Headers = []
    read: dict[bytes, bytes] = {}
    for field in fields:
        name, value = field
        rule = _rules[name]
        if rule is _PASS:
            passed.append(field)
        elif rule is _READ_RULE:
            read[name] = read[name] + b", " + value if name in read else value
        elif rule is _REFUSE:
            detail = f"The field name `{name.decode('latin-1')}` disguises a reserved one; remove the field."
            raise Refusal(400, "reserved_field_name", detail, close=True)
    return passed, read


def without_nominated(fields: Headers, connection: bytes) -> Headers:
    """`fields` without those that `connection`, the value of Connection, names (RFC 9110 section 7.6.1)."""
    options = _nominated(connection)
    return [field for field in fields if field[0] not in options] if options else fields


@lru_cache(maxsize=1024)
def _nominated(connection: bytes) -> frozenset[bytes]:
    return frozenset(option.strip().lower() for option in connection.split(b",")) - {b"", b"close", b"keep-alive"}
