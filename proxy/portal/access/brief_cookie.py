"""Cookies beside that of the session: of a sign-in that has begun in this browser, and of a link that is open in it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from proxy.portal.access.cookies import SessionCookie


class BriefCookie:
    """A cookie for minutes or hours, with the protection of the session's: no other host can plant one over HTTPS."""

    def __init__(self, session: SessionCookie, purpose: str) -> None:
        self._name = f"{session.name}-{purpose}"
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
