"""The cookie that carries a session, and the token that binds a form to it.

Over HTTPS the cookie is `__Host-tollgate`, which browsers take from this very host alone and send nowhere else. It has
to be `Secure`, and not every browser keeps such a cookie for `http://127.0.0.1`. So on a loopback address, where nobody
is on the way, it is `tollgate` without `Secure`. Over plain HTTP anywhere else nobody can sign in.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from middlewares.auth.keys import parse_operator_session, parse_session
from middlewares.exchange import Refusal

_PURPOSE = b"tollgate portal form"


class SessionCookie:
    """The cookie as the origin of the portal allows it."""

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        self.secure = parts.scheme == "https"
        self.allowed = self.secure or _is_loopback(parts.hostname or "")
        """False: it would cross a network that others can read."""
        self.name = "__Host-tollgate" if self.secure else "tollgate"

    def check_allowed(self) -> None:
        """Raise `Refusal` (403) where a session would cross a network that others can read."""
        if not self.allowed:
            detail = "Others could read the session on its way. The operator sets `public_url` to an https origin."
            raise Refusal(403, "https_needed", detail)

    def read(self, request: Request) -> str:
        """Return the token of the session; empty: there is none. A JWT of the API, which names a session, is none."""
        token = request.cookies.get(self.name, "") if self.allowed else ""
        known = parse_session(token.encode()) or parse_operator_session(token.encode())
        return token if known else ""

    def set(self, response: Response, token: str) -> None:
        """Have the browser keep a token until it is closed; the session ends by itself, too."""
        response.set_cookie(self.name, token, path="/", secure=self.secure, httponly=True, samesite="lax")

    def clear(self, response: Response) -> None:
        """Have the browser forget the token."""
        response.delete_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="lax")


def form_token(session_token: str) -> str:
    """Return the token that every form of a session carries; it cannot be computed without the cookie."""
    return hmac.digest(session_token.encode(), _PURPOSE, "sha256").hex()


def is_form_token(sent: str, session_token: str) -> bool:
    """Return True if `sent` is the token of the session's forms."""
    return hmac.compare_digest(sent.encode(), form_token(session_token).encode())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
