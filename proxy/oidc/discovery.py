"""The discovery document (OpenID Connect Discovery 1.0, RFC 8414): only what exists."""

from __future__ import annotations

from typing import Any

from proxy.identity.signing_keys import Algorithm
from proxy.identity.token_issuer import APP_SCOPES
from proxy.oidc.grants import CLIENT_CREDENTIALS, TOKEN_EXCHANGE

AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


def discovery_document(issuer: str, algorithm: Algorithm) -> dict[str, Any]:
    """Return the document. There is no authorization endpoint: nobody signs in here by a browser."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "revocation_endpoint": f"{issuer}/token/revocation",
        "introspection_endpoint": f"{issuer}/token/introspection",
        "scopes_supported": sorted(APP_SCOPES),
        "response_types_supported": [],
        "grant_types_supported": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "introspection_endpoint_auth_methods_supported": AUTH_METHODS,
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "external_user_id"],
    }
