"""The auth stage: finds the principal of a request by its credential."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from config.networks import Network
from middlewares.address_limit import AddressLimit
from middlewares.auth.ports import CredentialCache
from middlewares.auth.verdict import Denial, Grant, Verdict
from middlewares.exchange import Exchange, Headers, Refusal
from middlewares.store import StoreError

_CHALLENGE = b'Bearer realm="tollgate"'
_RETRY_SECONDS = b"1"


def failure_limit(per_minute: int) -> AddressLimit:
    """Return the limit of refused credentials: whoever guesses is slowed down, and nobody else is counted."""
    return AddressLimit(
        "auth-failures",
        per_minute,
        counted="refused credentials",
        unit="failures",
        advice=", with a valid credential",
    )


class AuthMiddleware:
    """Sets `exchange.principal`, or refuses: 401 unknown, 403 not allowed, 503 while the store is unreachable.

    What would be 401 is 429 where its address has sent too many refused credentials. The credential is read from the
    client's own headers; edge has removed it from those for the gateway.
    """

    def __init__(
        self, app: ASGIApp, *, credentials: CredentialCache, failure_limit: AddressLimit, used: dict[str, str]
    ) -> None:
        """Each key that is used is noted in `used`, with its app; somebody else writes that down."""
        self.app = app
        self.used = used
        self.credentials = credentials
        self.failure_limit = failure_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        try:
            credential = presented(scope["headers"])
            admit(self.credentials.cached(credential) or await self._judge(credential), exchange, scope["headers"])
        except Refusal as refusal:
            if refusal.status == 401 and refusal.code != "missing_credentials":
                self.failure_limit.count(exchange.client_address)
            raise
        principal = exchange.principal
        if principal is not None and principal.key is not None:
            self.used[principal.key] = principal.app
        await self.app(scope, receive, send)

    async def _judge(self, credential: bytes) -> Verdict:
        try:
            return await self.credentials.judge(credential)
        except StoreError:
            raise Refusal(
                503,
                "store_unavailable",
                "Credentials cannot be checked at the moment; try again shortly.",
                headers=[(b"retry-after", _RETRY_SECONDS)],
            ) from None


def presented(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the one credential of a request.

    It is in `Authorization: Bearer` (RFC 6750 section 2.1) or `X-Api-Key`. Raises `Refusal` for none, and for several.
    """
    authorization = key = None
    for name, value in headers:
        if name in {b"authorization", b"x-api-key"}:
            if (key if name == b"x-api-key" else authorization) is not None:
                raise _unauthorized("ambiguous_credentials", f"More than one {name.decode()} header was sent.")
            if name == b"x-api-key":
                key = value.strip(b" \t")
            else:
                authorization = value.strip(b" \t")
    if authorization is None:
        if key is None:
            raise Refusal(
                401,
                "missing_credentials",
                "Send an API key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`.",
                headers=[(b"www-authenticate", _CHALLENGE)],
            )
        return key
    scheme, _, token = authorization.partition(b" ")
    token = token.lstrip(b" ")
    if scheme.lower() != b"bearer":
        raise _unauthorized("unsupported_scheme", "The Authorization header must use the scheme Bearer.")
    if key is not None and key != token:
        raise _unauthorized("ambiguous_credentials", "Authorization and X-Api-Key hold different credentials.")
    return token


def admit(verdict: Verdict, exchange: Exchange, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Set the principal of the exchange, or raise `Refusal`. `headers` are the client's own."""
    if isinstance(verdict, Denial):
        exchange.owner = verdict.owner
        raise refusal_of(verdict)
    exchange.principal = verdict.principal  # also of a request that is refused now: log and records say whose it was
    if verdict.origins is not None:
        check_origin(verdict.origins, exchange, headers)
    check_narrowing(verdict, exchange)
    exchange.store_lost = verdict.unconfirmed


def check_narrowing(grant: Grant, exchange: Exchange) -> None:
    """Raise `Refusal` if the credential is not valid for this workload or from this address.

    Models are named in the request's body and are checked where it is read.
    """
    workloads = grant.principal.workloads
    if workloads is not None and (exchange.route is None or exchange.route.workload not in workloads):
        raise Refusal(
            403,
            "insufficient_scope",
            "The credential is not valid for this kind of request.",
            headers=[(b"www-authenticate", _CHALLENGE + b', error="insufficient_scope"')],
        )
    check_address(grant, exchange.client_address)


def refusal_of(denial: Denial) -> Refusal:
    """Return the refusal for a credential that is denied."""
    return Refusal(denial.status, denial.code, denial.detail, headers=_headers(denial))


def check_origin(origins: frozenset[bytes], exchange: Exchange, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Set `exchange.page_origin`, and raise `Refusal` for a request that does not come from a page of these origins.

    Browsers say so in `Origin` with each request to another origin, and let no page change it.
    """
    sent = [value for name, value in headers if name == b"origin"]
    exchange.page_origin = sent[0] if len(sent) == 1 and sent[0] in origins else b""
    if not exchange.page_origin:
        detail = "The key may be used from web pages of some origins only, and `Origin` names none of those."
        raise Refusal(403, "origin_not_allowed", detail)


def check_address(grant: Grant, address: str) -> None:
    """Raise `Refusal` if the credential may not be used from this address."""
    if grant.networks is not None and not _within(address, grant.networks):
        raise Refusal(403, "address_not_allowed", "The credential may not be used from this address.")


def _within(text: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:  # a peer on a unix socket has none
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _headers(denial: Denial) -> Headers:
    if denial.status == 503:
        return [(b"retry-after", _RETRY_SECONDS)]
    return _invalid_token() if denial.status == 401 else []


def _invalid_token() -> Headers:
    """Return the challenge for a credential that was sent and is not accepted (RFC 6750 section 3.1)."""
    return [(b"www-authenticate", _CHALLENGE + b', error="invalid_token"')]


def _unauthorized(code: str, detail: str) -> Refusal:
    return Refusal(401, code, detail, headers=_invalid_token())
