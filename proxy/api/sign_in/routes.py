"""The table of routes below `/api/v1/auth`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.api.services import DeveloperServices
from proxy.api.sign_in.endpoints import SignInEndpoints

AUTH_PATH = "/api/v1/auth"


def add_sign_in_routes(serve: Callable[..., Any], services: DeveloperServices) -> None:
    """Add the routes by `serve(method, path, endpoint, ...)`. `login-jwt` is `login` by the name NaaP gives it."""
    endpoints, signs_in = SignInEndpoints(services), "developer.sign_in"
    serve("POST", f"{AUTH_PATH}/siwe/nonce", endpoints.nonce, name="sign_in_nonce")
    serve("POST", f"{AUTH_PATH}/siwe/login", endpoints.wallet, name="sign_in_with_wallet", audit=signs_in)
    serve("POST", f"{AUTH_PATH}/siwe/login-jwt", endpoints.wallet, name="sign_in_with_wallet_jwt", audit=signs_in)
    serve("GET", f"{AUTH_PATH}/me", endpoints.me, name="me")
    serve("POST", f"{AUTH_PATH}/logout", endpoints.log_out, name="log_out", audit="session.end")
    serve("GET", f"{AUTH_PATH}/sessions", endpoints.sessions, name="list_sessions")
    serve("DELETE", f"{AUTH_PATH}/sessions", endpoints.end_sessions, name="end_sessions", audit="session.end_all")
    serve(
        "DELETE", f"{AUTH_PATH}/sessions/{{session_id}}", endpoints.end_session, name="end_session", audit="session.end"
    )
