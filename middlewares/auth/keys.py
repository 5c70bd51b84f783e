"""API keys and client secrets: their format, how they are made, and the hashes that are stored.

A key is `tgk_<key id>_<secret><checksum>`: the id (16 characters of a-z and 2-7) is public and finds the record, the
secret (43 base62 characters) carries 256 random bits, the checksum (6 base62 characters, CRC-32 of all before it) lets
leak scanners and Tollgate tell a mistyped key from a wrong one without a lookup. A client secret is
`tgs_<secret><checksum>`. Operator keys, sessions of developers and of operators, invitations, sign-in links, and links
to a view of the portal have the form of keys, with the prefixes `tgo_`, `tgd_`, `tgp_`, `tgi_`, `tgl_` and `tgv_`.
Secrets of that entropy need no slow hash: SHA-256, or HMAC-SHA-256 under a pepper.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from config.access import Auth

_ID_ALPHABET = string.ascii_lowercase + "234567"
_ID_LENGTH = 16
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_BYTES = 32
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6

_KEY, _OPERATOR_KEY, _SESSION, _OPERATOR_SESSION, _INVITE, _SIGN_IN_LINK, _VIEW_LINK = (
    re.compile(rb"(?P<signed>%s_(?P<id>[a-z2-7]{16})_(?P<secret>[0-9A-Za-z]{43}))(?P<checksum>[0-9A-Za-z]{6})" % prefix)
    for prefix in (b"tgk", b"tgo", b"tgd", b"tgp", b"tgi", b"tgl", b"tgv")
)
_CLIENT_SECRET = re.compile(rb"(?P<signed>tgs_(?P<secret>[0-9A-Za-z]{43}))(?P<checksum>[0-9A-Za-z]{6})")

_PLAIN = "sha256"
_PEPPERED = "hmac-sha256"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The parts of a well-formed key, or of what has its form."""

    key_id: str
    secret: bytes = field(repr=False)


def new_id() -> str:
    """Return a random public id: 16 characters of a-z and 2-7 (80 bits)."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def is_id(text: str) -> bool:
    """Return True if `text` has the format of a public id."""
    return len(text) == _ID_LENGTH and all(character in _ID_ALPHABET for character in text)


def mint_key() -> tuple[str, ApiKey]:
    """Return the text of a new key, which only its owner may keep, and its parts."""
    return _minted("tgk")


def mint_operator_key() -> tuple[str, ApiKey]:
    """Return the text of a new operator key, which only its operator may keep, and its parts."""
    return _minted("tgo")


def mint_session() -> tuple[str, ApiKey]:
    """Return the token of a new session, which only its client may keep, and its parts."""
    return _minted("tgd")


def mint_operator_session() -> tuple[str, ApiKey]:
    """Return the token of a new session of an operator, which only its browser may keep, and its parts."""
    return _minted("tgp")


def mint_invite() -> tuple[str, ApiKey]:
    """Return the code of a new invitation, which only its receiver may keep, and its parts."""
    return _minted("tgi")


def mint_sign_in_link() -> tuple[str, ApiKey]:
    """Return the secret of a new sign-in link, which only its receiver may keep, and its parts."""
    return _minted("tgl")


def mint_view_link() -> tuple[str, ApiKey]:
    """Return the secret of a new link to a view of the portal, which only its receiver may keep, and its parts."""
    return _minted("tgv")


def mint_client_secret() -> tuple[str, bytes]:
    """Return the text of a new client secret, which only its owner may keep, and its secret part."""
    secret = _new_secret()
    return _sealed(f"tgs_{secret.decode()}"), secret


def parse_key(credential: bytes) -> ApiKey | None:
    """Return the parts of a key; None if it is malformed or its checksum is wrong."""
    return _parsed(_KEY.fullmatch(credential))


def parse_operator_key(credential: bytes) -> ApiKey | None:
    """Return the parts of an operator key; None if it is malformed or its checksum is wrong."""
    return _parsed(_OPERATOR_KEY.fullmatch(credential))


def parse_session(credential: bytes) -> ApiKey | None:
    """Return the parts of a session's token; None if it is malformed or its checksum is wrong."""
    return _parsed(_SESSION.fullmatch(credential))


def parse_operator_session(credential: bytes) -> ApiKey | None:
    """Return the parts of the token of an operator's session; None if it is malformed or its checksum is wrong."""
    return _parsed(_OPERATOR_SESSION.fullmatch(credential))


def parse_invite(code: bytes) -> ApiKey | None:
    """Return the parts of an invitation's code; None if it is malformed or its checksum is wrong."""
    return _parsed(_INVITE.fullmatch(code))


def parse_sign_in_link(secret: bytes) -> ApiKey | None:
    """Return the parts of a sign-in link's secret; None if it is malformed or its checksum is wrong."""
    return _parsed(_SIGN_IN_LINK.fullmatch(secret))


def parse_view_link(secret: bytes) -> ApiKey | None:
    """Return the parts of the secret of a link to a view; None if it is malformed or its checksum is wrong."""
    return _parsed(_VIEW_LINK.fullmatch(secret))


def parse_client_secret(credential: bytes) -> bytes | None:
    """Return the secret part of a client secret; None if it is malformed or its checksum is wrong."""
    match = _CLIENT_SECRET.fullmatch(credential)
    return match["secret"] if match is not None and _intact(match) else None


def is_sealed(text: bytes) -> bool:
    """Return True if a key or secret ends in the checksum of all that stands before."""
    return _checksum(text[:-_CHECKSUM_LENGTH]).encode() == text[-_CHECKSUM_LENGTH:]


def hash_secret(secret: bytes, pepper: bytes | None) -> str:
    """Return the hash of a secret that is stored: `<scheme>:<64 hex digits>`."""
    if pepper is None:
        return f"{_PLAIN}:{hashlib.sha256(secret).hexdigest()}"
    return f"{_PEPPERED}:{hmac.digest(pepper, secret, 'sha256').hex()}"


def matches(secret: bytes, stored: str, pepper: bytes | None) -> bool:
    """Return True if `stored` is the hash of `secret`, in time that does not depend on where they differ.

    A hash made without a pepper stays good after one is configured; one made with a pepper needs that very pepper.
    Both are made, so that the time does not tell which of them is stored.
    """
    plain, peppered = hash_secret(secret, None), hash_secret(secret, pepper)
    made = plain if stored.startswith(f"{_PLAIN}:") else peppered
    return hmac.compare_digest(made.encode(), stored.encode())


def pepper_of(settings: Auth) -> bytes | None:
    """Return the configured pepper as bytes; None if there is none."""
    return settings.key_pepper.get_secret_value().encode() if settings.key_pepper else None


def _minted(prefix: str) -> tuple[str, ApiKey]:
    key = ApiKey(new_id(), _new_secret())
    return _sealed(f"{prefix}_{key.key_id}_{key.secret.decode()}"), key


def _parsed(match: re.Match[bytes] | None) -> ApiKey | None:
    return ApiKey(match["id"].decode(), match["secret"]) if match is not None and _intact(match) else None


def _new_secret() -> bytes:
    return _base62(int.from_bytes(secrets.token_bytes(_SECRET_BYTES)), _SECRET_LENGTH).encode()


def _sealed(text: str) -> str:
    return text + _checksum(text.encode())


def _checksum(text: bytes) -> str:
    return _base62(zlib.crc32(text), _CHECKSUM_LENGTH)


def _intact(match: re.Match[bytes]) -> bool:
    return _checksum(match["signed"]).encode() == match["checksum"]


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
