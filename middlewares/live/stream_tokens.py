"""Signed stream tokens, which tell the caller of a WHIP request when its gateway calls the auth webhook. Pure.

Credentials never reach a gateway, but its webhook asks Tollgate whether a WHIP stream may begin, and repeats the query
it was sent (gateway contract section 5.2). So Tollgate adds a parameter that names the caller, valid for one stream and
for a minute, under a signature (HMAC-SHA-256) that a client cannot make.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

PARAMETER = "tollgate"
"""Name of the query parameter; clients cannot send it (`middlewares.edge.target`)."""
LIFE_SECONDS = 60.0
"""How long a token is valid; the gateway calls the webhook within moments of the request."""
_MAC_BYTES = 32


class StreamToken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The caller that may begin a stream, and which stream."""

    request: str
    """Id of the WHIP request, which the rate limits have counted; it may still hold a slot of the concurrency."""
    app: str
    user: str | None
    key: str | None
    plan: str
    stream: str
    """Name of the stream at the gateway."""
    pipeline: str
    """Requested by the client, else the plan's; empty: none."""
    expires: float
    """Unix seconds."""


_DECODER = msgspec.json.Decoder(StreamToken)


class StreamTokenSigner:
    """Signs stream tokens and reads them, with a key derived from the webhooks' secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"tollgate live pass", "sha256")

    def sign(self, token: StreamToken) -> str:
        """Return the token as the value of a query parameter: letters, digits, `-` and `_`."""
        body = msgspec.json.encode(token)
        return urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, text: str, now: float) -> StreamToken | None:
        """Return the token in `text`; None where it was not signed with this key or has expired."""
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        token = _DECODER.decode(body)
        return token if now < token.expires else None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")
