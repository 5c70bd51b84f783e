"""Who may come in, from where, and how much they may send at once."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from config.base import Model

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Issuer(Model):
    """An external JWT issuer whose tokens are accepted."""

    issuer: str = Field(min_length=1, description="The exact `iss` of its tokens.")
    audience: str = Field(min_length=1, description="The `aud` its tokens must name.")
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256",), min_length=1, description="Accepted algorithms; asymmetric only."
    )
    jwks_file: Path | None = Field(None, description="File with its JSON Web Key Set.")
    jwks_url: str | None = Field(
        None,
        pattern=r"^https://|^http://(127\.0\.0\.1|\[::1\]|localhost)[:/]",
        description="https URL of its JSON Web Key Set, fetched in the background.",
    )
    refresh_seconds: float = Field(
        300,
        gt=0,
        description="How often the key set is fetched again; also the cool-down for unknown key ids.",
    )
    leeway_seconds: int = Field(30, ge=0, le=60, description="Clock difference tolerated.")
    app: str | None = Field(None, description="App every token of this issuer belongs to.")
    app_claim: str | None = Field(None, description="Claim that names the app, if `app` is not given.")
    user_claim: str = Field("sub", description="Claim that names the user.")
    plan_claim: str | None = Field(None, description="Claim that names the plan; none: the app's plan.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ValueError("give exactly one of `jwks_file` and `jwks_url`")
        if (self.app is None) == (self.app_claim is None):
            raise ValueError("give exactly one of `app` and `app_claim`")
        return self


class Auth(Model):
    """Credentials."""

    key_pepper: SecretStr | None = Field(
        None,
        description="Secret mixed into stored key hashes (HMAC-SHA-256). Keys made with another pepper stop working.",
    )
    cache_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="How long a worker trusts a credential it has seen. Revocation is immediate all the same.",
    )
    cache_entries: int = Field(100_000, ge=100, description="How many credentials a worker remembers.")
    grace_seconds: float = Field(
        300, ge=0, le=86_400, description="How long known keys keep working while Redis is away."
    )
    issuers: tuple[Issuer, ...] = Field((), description="External JWT issuers.")


class Cors(Model):
    """Cross-origin requests from browsers. Off until an origin is named."""

    allow_origins: tuple[str, ...] = Field((), description="Origins that may call, or `*`.")
    allow_headers: tuple[str, ...] = Field(
        ("authorization", "content-type", "x-api-key"), description="Request headers a page may send."
    )
    expose_headers: tuple[str, ...] = Field(
        ("x-request-id", "ratelimit", "ratelimit-policy", "retry-after"),
        description="Response headers a page may read.",
    )
    max_age: int = Field(600, ge=0, description="Seconds a browser may remember the answer.")


class Edge(Model):
    """What is refused before anything else looks at it."""

    max_header_bytes: int = Field(32_768, ge=1_024, le=65_536, description="Request line and header fields together.")
    max_header_fields: int = Field(100, ge=8, le=1_000, description="Number of header fields.")
    max_body_bytes: int = Field(
        300_000_000, ge=1, description="Largest request body; the gateway's own limit for a segment."
    )
    max_json_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1_024,
        le=64 * 1024 * 1024,
        description="Largest JSON body of a metered route; it is read whole before admission.",
    )
    header_seconds: float = Field(10, gt=0, le=300, description="Time a client has to send its request head.")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."
    )
    cors: Cors = Field(Cors(), description="Cross-origin requests.")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value
