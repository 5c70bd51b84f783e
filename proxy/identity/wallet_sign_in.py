"""Sign-in with a wallet: a nonce out, a signed message in, a developer back, for clients with a session and a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from config.sign_in import SignInSettings
from middlewares.address_limit import AddressLimit
from middlewares.exchange import Refusal
from proxy.control.developers.nonces import Nonce, Nonces, TooManyNonces
from proxy.control.developers.records import SessionRecord
from proxy.control.developers.sessions import DeveloperSessions
from proxy.identity.sign_up import AdmittedDeveloper, Applicant, SignUp
from proxy.identity.siwe.address import checked_address, with_checksum
from proxy.identity.siwe.message import MalformedMessage, SiweMessage, parse_message, written
from proxy.identity.siwe.policy import SiweTerms, UnacceptableMessage
from proxy.identity.siwe.signature import BadSignature, signer_of
from proxy.identity.token_issuer import IssuedToken, TokenIssuer

_CHALLENGE = b'Bearer realm="tollgate"'
_RETRY_SECONDS = 30
_COUNTED = (400, 401, 403)


def sign_in_failure_limit(per_minute: int) -> AddressLimit:
    """Return the limit of refused sign-ins by client address."""
    return AddressLimit("sign-in-failures", per_minute, counted="refused sign-ins", unit="failures")


def terms_of(settings: SignInSettings, origin: str) -> SiweTerms:
    """Return what messages for the server at `origin` have to say."""
    return SiweTerms(
        origin=origin,
        statement=settings.statement,
        chain_ids=settings.chain_ids,
        age=timedelta(seconds=settings.nonce_seconds),
        skew=timedelta(seconds=settings.skew_seconds),
    )


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """What a client sends to sign in, and who it is."""

    message: str = field(repr=False)
    signature: str = field(repr=False)
    invite: str | None = field(repr=False)
    """Code of an invitation."""
    address: str
    """Network address of the client."""
    client: str
    """What it calls itself."""
    nonce: str | None = None
    """The one nonce that may be used, as this browser was given it; None: any may."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that succeeded."""

    admitted: AdmittedDeveloper
    wallet: str
    """Address with its checksum."""
    session: SessionRecord
    session_token: str = field(repr=False)
    token: IssuedToken
    token_expires_at: datetime


class WalletSignIn:
    """Signs developers in. All methods raise `Refusal`, and what the client of Redis does."""

    def __init__(
        self,
        settings: SignInSettings,
        terms: SiweTerms,
        *,
        nonces: Nonces,
        sign_up: SignUp,
        sessions: DeveloperSessions,
        issuer: TokenIssuer,
        failures: AddressLimit,
    ) -> None:
        self.terms = terms
        self._settings = settings
        self._nonces = nonces
        self._sign_up = sign_up
        self._sessions = sessions
        self._issuer = issuer
        self._failures = failures

    async def nonce(self, address: str) -> Nonce:
        """Return a nonce for the client at `address`. Raises `Refusal` (429, 503) while too many wait to be used."""
        self.check_enabled()
        try:
            return await self._nonces.issue(address)
        except TooManyNonces as error:
            headers = [(b"retry-after", b"%d" % _RETRY_SECONDS)]
            if error.of_client:
                detail = f"At most {self._settings.nonces_per_address} nonces of one address may wait to be used."
                raise Refusal(429, "rate_limited", detail, headers=headers) from None
            detail = "Too many nonces wait to be used; try again shortly."
            raise Refusal(503, "nonces_exhausted", detail, headers=headers) from None

    async def message(self, wallet: str, address: str) -> tuple[str, Nonce]:
        """Return a message for the owner of a wallet to sign, and its nonce, for the client at `address`.

        Raises `Refusal`, 400 for what is no wallet.
        """
        self.check_enabled()
        try:
            owner = with_checksum(checked_address(wallet))
        except ValueError as error:
            raise Refusal(400, "invalid_parameter", f"{str(error).capitalize()}.") from None
        nonce = await self.nonce(address)
        message = SiweMessage(
            scheme=None,
            domain=self.terms.domain,
            address=owner,
            statement=self.terms.statement,
            uri=self.terms.origin,
            chain_id=str(next(iter(self.terms.chain_ids))),
            nonce=nonce.text,
            issued_at=nonce.issued_at,
            expiration_time=nonce.expires_at,
        )
        return written(message), nonce

    async def admit(self, attempt: SignInAttempt) -> tuple[AdmittedDeveloper, str]:
        """Return the developer who signed the message, signed up where the policy lets it, and the wallet.

        The wallet is its address with its checksum. Refusals are counted by address.
        """
        self.check_enabled()
        try:
            wallet = await self._proven_wallet(attempt)
            return await self._sign_up.admit(Applicant(wallet, attempt.invite, attempt.address)), wallet
        except Refusal as refusal:
            if refusal.status in _COUNTED:
                self._failures.count(attempt.address)
            raise

    def check_enabled(self) -> None:
        """Raise `Refusal` (404) where nobody signs in with a wallet."""
        if not self._settings.wallet:
            raise Refusal(404, "not_found", "Nobody signs in with a wallet here (the setting sign_in.wallet is off).")

    async def sign_in(self, attempt: SignInAttempt) -> SignedIn:
        """Sign a developer in: a session, and a token that ends with it."""
        admitted, wallet = await self.admit(attempt)
        lifetime = timedelta(seconds=self._settings.session_seconds)
        session, text = await self._sessions.begin(
            admitted.developer, lifetime, address=attempt.address, client=attempt.client
        )
        token = self._issuer.issue_for_developer(admitted.developer.developer_id, session.session_id, wallet)
        ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=token.expires_in)
        return SignedIn(admitted, wallet, session, text, token, ends)

    async def _proven_wallet(self, attempt: SignInAttempt) -> str:
        """Return the wallet, with its checksum, that signed this message for this server, now and for the first time.

        The nonce goes before the signature is looked at: it is good for one attempt.
        """
        message = self._parsed(attempt.message)
        if attempt.nonce not in (None, message.nonce):
            raise _refused("nonce_invalid", "The nonce is not the one that this browser was given; begin anew.")
        now = await self._nonces.take(message.nonce)
        if now is None:
            raise _refused("nonce_invalid", "The nonce is unknown, used or over; request a new one and sign again.")
        try:
            self.terms.check_time(message, now)
            signer = signer_of(attempt.message, attempt.signature)
        except UnacceptableMessage as error:
            raise _refused("message_refused", str(error)) from None
        except BadSignature as error:
            raise _refused("signature_invalid", str(error)) from None
        if signer != message.address:
            detail = (
                "The message was not signed by the key of its address. "
                "Contract wallets, which have none (EIP-1271), are not supported."
            )
            raise _refused("signature_invalid", detail)
        return signer

    def _parsed(self, text: str) -> SiweMessage:
        try:
            message = parse_message(text)
            self.terms.check_place(message)
        except MalformedMessage as error:
            raise Refusal(400, "malformed_message", f"{error} The message must be one of EIP-4361.") from None
        except UnacceptableMessage as error:
            raise _refused("message_refused", str(error)) from None
        return message


def _refused(code: str, detail: str) -> Refusal:
    return Refusal(401, code, detail, headers=[(b"www-authenticate", _CHALLENGE)])
