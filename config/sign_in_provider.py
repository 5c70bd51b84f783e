"""The OpenID Connect provider at which developers sign in to the portal."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema, field_validator, model_validator

from config.base import Model
from config.issuers import has_discovery

_Word = Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$")]
_Domain = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


def _issuer(value: str) -> str:
    if not has_discovery(value):
        raise ValueError("must be an https URL, or an http URL of this machine, without a query")
    return value


IssuerUrl = Annotated[str, AfterValidator(_issuer), WithJsonSchema({"type": "string", "format": "https URL"})]


class SignInProvider(Model):
    """Sign-in to the portal at a provider of identities (OpenID Connect); needs the extra `oidc`.

    The redirect URI to register there is `{public_url}/portal/sign-in/provider/callback`.
    """

    issuer: IssuerUrl | None = Field(
        None,
        description="The exact `issuer` of its discovery document, which is below it. None: nobody signs in so. Its "
        "address may be any; other hosts that the document names must be public, or in `auth.key_set_networks`.",
    )
    client_id: str | None = Field(None, min_length=1, description="Client id of Tollgate at the provider.")
    client_secret: SecretStr | None = Field(None, min_length=1, description="Client secret that belongs to it.")
    label: str = Field("your organisation", min_length=1, max_length=60, description="What the sign-in page calls it.")
    scopes: tuple[_Word, ...] = Field(("openid", "email", "profile"), description="Scopes to request.")
    verified_email: bool = Field(
        True, description="Refuse people whose e-mail address the provider does not call verified."
    )
    domains: tuple[_Domain, ...] = Field(
        (), description="Domains of e-mail addresses that may sign in, in lower case; none: all."
    )
    sign_up: bool = Field(
        False,
        description="Let people whom nobody knows sign up as `sign_up.policy` says. False: only those that an operator "
        "has added.",
    )

    @field_validator("scopes")
    @classmethod
    def _identities(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("must have `openid`, which asks for an identity")
        return scopes

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [self.issuer, self.client_id, self.client_secret]
        if any(given) and not all(given):
            raise ValueError("`issuer`, `client_id` and `client_secret` are needed together")
        if self.domains and not self.verified_email:
            raise ValueError("`domains` means nothing without `verified_email`: anybody could claim such an address")
        return self
