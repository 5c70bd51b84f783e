"""Regular expressions of EIP-4361's ABNF, and of the parts of RFC 3986 and RFC 3339 that it refers to.

Each is for the whole of a text (`fullmatch`). Alternatives begin with different characters, so that none backtracks.
"""

from __future__ import annotations

_ENCODED = r"%[0-9A-Fa-f]{2}"
_NAME_CHARACTER = rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|{_ENCODED})"
_PATH_CHARACTER = rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|{_ENCODED})"
_USER_CHARACTER = rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|{_ENCODED})"
_SEGMENTS = rf"(?:/{_PATH_CHARACTER}*)*"
_REST = rf"(?:{_PATH_CHARACTER}|[/?])*"

SCHEME = r"[A-Za-z][A-Za-z0-9+\-.]*"
AUTHORITY = rf"(?:{_USER_CHARACTER}*@)?(?:\[[0-9A-Fa-f:.]+\]|{_NAME_CHARACTER}*)(?::[0-9]*)?"
"""With IPv6 literals; future versions of them (`[v1.x]`) name no server of today."""
_HIERARCHY = rf"(?://{AUTHORITY}{_SEGMENTS}|/(?:{_PATH_CHARACTER}+{_SEGMENTS})?|{_PATH_CHARACTER}+{_SEGMENTS}|)"
URI = rf"{SCHEME}:{_HIERARCHY}(?:\?{_REST})?(?:#{_REST})?"
HEAD = rf"(?:({SCHEME})://)?({AUTHORITY}) wants you to sign in with your Ethereum account:"
"""First line; its groups are scheme and domain."""
ADDRESS = r"0x[0-9A-Fa-f]{40}"
STATEMENT = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;= ]+"
VERSION = r"1"
CHAIN_ID = r"[0-9]+"
NONCE = r"[A-Za-z0-9]{8,}"
REQUEST_ID = rf"{_PATH_CHARACTER}*"
DATE_TIME = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
"""Groups: year to second, fraction, sign, hours and minutes of the offset."""
