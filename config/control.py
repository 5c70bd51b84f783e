"""The control plane's surfaces on the public listener, and the issuer of Tollgate's own tokens."""

from typing import Literal

from pydantic import Field

from config.base import Model, Name
from config.sign_in_provider import SignInProvider


class CatalogSettings(Model):
    """Who sees the catalog of workloads, models, plans and prices, and what of it."""

    public: bool = Field(
        False, description="Show `/api/v1/catalog` without a credential, and models and prices in `/llms.txt`."
    )
    plans: tuple[Name, ...] | None = Field(
        None, description="Plans that are shown; an app also sees its own. None: all, the built-in ones included."
    )


class ControlSettings(Model):
    """Limits of requests to `/api/v1/...` and `/.well-known/...`, apart from those of the pipeline."""

    requests_per_minute: int = Field(
        600,
        ge=1,
        le=1_000_000,
        description="Requests that one client address (IPv6: one /64 network) may send in 60 s to each worker.",
    )
    token_requests_per_minute: int = Field(
        6_000,
        ge=1,
        le=1_000_000,
        description="The same for `/api/v1/oidc/...`, where back ends fetch a token for each piece of work.",
    )
    max_body_bytes: int = Field(
        1024 * 1024, ge=1_024, le=64 * 1024 * 1024, description="Largest request body, in bytes."
    )
    body_seconds: float = Field(10, gt=0, le=300, description="Time a client has to send its request body.")
    admin_on_public_listener: bool = Field(
        False, description="Serve the admin API, `/api/v1/admin`, on the public listener, too."
    )
    catalog: CatalogSettings = Field(CatalogSettings(), description="The catalog of what is offered.")

    def named_plans(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the names of plans, each with its path."""
        return [(("catalog", "plans", index), name) for index, name in enumerate(self.catalog.plans or ())]


class PortalSettings(Model):
    """The pages for members of apps and for operators, at `/portal`."""

    requests_per_minute: int = Field(
        600,
        ge=1,
        le=1_000_000,
        description="Requests that one client address (IPv6: one /64 network) may send in 60 s to each worker.",
    )
    link_seconds: int = Field(900, ge=30, le=86_400, description="Seconds for which a link to sign in is good, once.")
    idle_seconds: int = Field(
        12 * 3_600,
        ge=300,
        le=90 * 86_400,
        description="Seconds without a request after which a session ends, at the latest after "
        "`sign_in.session_seconds`.",
    )
    oidc: SignInProvider = Field(SignInProvider(), description="The provider of identities at which people sign in.")


class IssuerSettings(Model):
    """The issuer of Tollgate's own tokens, `{public_url}/api/v1/oidc`."""

    algorithm: Literal["ES256", "RS256"] = Field(
        "ES256", description="Algorithm of its signatures. A change makes a new key, beside which the old one stays."
    )
    access_token_seconds: int = Field(
        3_600, ge=120, le=86_400, description="Seconds that tokens of apps live, from `client_credentials`."
    )
    user_token_seconds: int = Field(
        900, ge=120, le=86_400, description="Seconds that tokens of users live, and those in exchange for API keys."
    )
    developer_token_seconds: int = Field(
        3_600, ge=120, le=86_400, description="Seconds that tokens of developers live, from a sign-in with a wallet."
    )

    @property
    def longest_seconds(self) -> int:
        """Return the seconds after which every token that was issued before has expired."""
        return max(self.access_token_seconds, self.user_token_seconds, self.developer_token_seconds)
