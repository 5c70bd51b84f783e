"""Authentication of apps by their client id and secret (RFC 6749 section 2.3.1), with a throttle on failures."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from middlewares.address_limit import AddressLimit
from middlewares.auth.records import AppRecord
from middlewares.exchange import Refusal
from proxy.control.apps import Apps

BASIC_CHALLENGE = b'Basic realm="tollgate", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client id with the secret that was sent for it."""

    client_id: str
    secret: str = field(repr=False)


def client_failure_limits(per_minute: int) -> tuple[AddressLimit, AddressLimit]:
    """Return the limits of failed secrets by client address and by client id."""
    return (
        _failures("client-secret-failures-by-address", per_minute),
        _failures("client-secret-failures-by-client", per_minute),
    )


def _failures(policy: str, per_minute: int) -> AddressLimit:
    return AddressLimit(
        policy, per_minute, counted="wrong secrets", unit="failures", advice=", with the right client secret"
    )


class ClientAuthentication:
    """Finds the app of a client secret. Failures are counted; a secret that is right passes all the same."""

    def __init__(self, apps: Apps, failures_per_minute: int) -> None:
        self._apps = apps
        self._by_address, self._by_client = client_failure_limits(failures_per_minute)

    async def authenticate(self, sent: ClientSecret, address: str) -> AppRecord:
        """Return the app. Raises `Refusal`: 401 `invalid_client`, 429 past the limit of failures."""
        app = await self._apps.authenticate(sent.client_id, sent.secret)
        if app is None:
            self.count_failure(sent.client_id, address)
            raise invalid_client("The client is unknown, or its secret is wrong or was replaced.")
        if app.status != "active":
            raise invalid_client("The app is suspended.")
        return app

    def count_failure(self, client_id: str, address: str) -> None:
        """Count a credential that was refused. Raises `Refusal` (429) past the limit."""
        self._by_address.count(address)
        if client_id:
            self._by_client.count(client_id)


def invalid_client(detail: str) -> Refusal:
    """Return the refusal of a client; its challenge names the scheme to use (RFC 6749 section 5.2)."""
    return Refusal(401, "invalid_client", detail, headers=[(b"www-authenticate", BASIC_CHALLENGE)])


def basic_credentials(authorization: str) -> ClientSecret | None:
    """Return what an `Authorization: Basic` header holds, both parts form-decoded; None for another scheme.

    Raises `Refusal` (401) where it cannot be read.
    """
    scheme, _, encoded = authorization.strip(" \t").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(" "), validate=True).decode()
        client_id, separator, secret = text.partition(":")
        if separator:
            return ClientSecret(unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"))
    except ValueError:  # no base64, or none of ASCII alone; no UTF-8 within, or within its escapes
        pass
    raise invalid_client("The Basic credentials cannot be read; send base64 of `client_id:client_secret`.")
