"""The cookie of a sign-in that has begun: it ties what comes back to the browser that began."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from proxy.portal.access.cookies import SessionCookie


class PendingCookie:
    """A cookie for some minutes, with the protection of the session's: no other host can plant one over HTTPS."""

    def __init__(self, session: SessionCookie, way: str) -> None:
        self._name = f"{session.name}-{way}"
        self._secure = session.secure

    def read(self, request: Request) -> str:
        """Return its value; empty: there is none."""
        return request.cookies.get(self._name, "")

    def set(self, response: Response, value: str, seconds: int) -> None:
        """Have the browser keep a value for so many seconds."""
        response.set_cookie(
            self._name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    def clear(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(self._name, path="/", secure=self._secure, httponly=True, samesite="lax")
