"""The pass of a stream: by it the gate knows a request again that comes back as a gateway's question. Pure.

Credentials never reach a gateway, but it asks the gate whether a WHIP stream may begin, and repeats the query it was
sent (gateway contract section 5.2). So the gate adds a parameter that says who was let in, good for one stream and for
a minute, under a signature (HMAC-SHA-256) that a client cannot make.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

PARAMETER = "tollgate"
"""Of the query; clients cannot send it (`middlewares.edge.target`)."""
LIFE_SECONDS = 60.0
"""The gateway asks within moments of the request."""
_MAC_BYTES = 32


class StreamToken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who may begin which stream."""

    request: str
    """Id of the WHIP request, which was counted by the rate limits, and may hold a slot of the concurrency still."""
    app: str
    user: str | None
    key: str | None
    plan: str
    stream: str
    """Its name at the gateway."""
    pipeline: str
    """Asked for by the client, else the plan's; empty: none."""
    expires: float
    """Unix seconds."""


_DECODER = msgspec.json.Decoder(StreamToken)


class StreamTokenSigner:
    """Signs passes and reads them, with a key derived from the webhooks' secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"tollgate live pass", "sha256")

    def sign(self, given: StreamToken) -> str:
        """As the value of a query parameter: letters, digits, `-` and `_`."""
        body = msgspec.json.encode(given)
        return urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, text: str, now: float) -> StreamToken | None:
        """The pass; None where it was not signed here or has expired."""
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        found = _DECODER.decode(body)
        return found if now < found.expires else None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")
