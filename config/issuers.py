"""Settings of external issuers of JWTs: whose tokens are accepted, by which keys, and what their claims say."""

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from config.base import Fault, Model, Name

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
WorkScope = Literal["inference", "sign:job"]

DISCOVERY_PATH = "/.well-known/openid-configuration"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_secure_url(value: str) -> bool:
    """Return True for an https URL, or an http URL of this machine, without user and fragment."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or "#" in value or "\\" in value or " " in value:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return secure and value.isascii() and value.isprintable()


def has_discovery(issuer: str) -> bool:
    """Return True if an issuer's name is an address below which its discovery document can be."""
    return is_secure_url(issuer) and "?" not in issuer


def _key_set_url(value: str) -> str:
    if not is_secure_url(value):
        raise ValueError("must be an https URL, or an http URL of this machine")
    return value


KeySetUrl = Annotated[str, AfterValidator(_key_set_url), WithJsonSchema({"type": "string", "format": "https URL"})]


def _list_or_map(value: Any) -> Any:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return {each: each for each in value}
    return value


_ListOrMap = BeforeValidator(_list_or_map)
_Word = Annotated[str, Field(min_length=1)]
Names = Annotated[dict[_Word, Name], _ListOrMap]
Scopes = Annotated[dict[_Word, WorkScope], _ListOrMap]


class Issuer(Model):
    """An external JWT issuer whose tokens are accepted. A path such as `realm.plan` names a claim within another."""

    issuer: str = Field(min_length=1, description="The exact `iss` of its tokens.")
    audience: str = Field(min_length=1, description="The `aud` its tokens must name.")
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256",), min_length=1, description="Accepted algorithms; asymmetric only."
    )
    jwks_file: Path | None = Field(None, description="File with its JSON Web Key Set.")
    jwks_url: KeySetUrl | None = Field(
        None,
        description="URL of its JSON Web Key Set, fetched in the background; http only from this machine. Neither URL "
        "nor file: the one that `{issuer}/.well-known/openid-configuration` names.",
    )
    refresh_seconds: float = Field(300, gt=0, le=86_400, description="Longest time between two fetches of the key set.")
    cool_down_seconds: float = Field(
        15,
        gt=0,
        le=3_600,
        description="Shortest time between two fetches of the key set: of those that an unknown key id causes, and of "
        "retries.",
    )
    stale_seconds: float = Field(
        86_400,
        gt=0,
        le=30 * 86_400,
        description="How long its keys stay in use after a fetch was due, while none succeeds. Then tokens are refused "
        "with 503: a key that it has withdrawn meanwhile would be good for ever.",
    )
    leeway_seconds: int = Field(
        30, ge=0, le=60, description="Tolerated clock difference, in seconds, for `exp`, `nbf` and `iat`."
    )
    app: str | None = Field(None, description="App that every token of this issuer belongs to.")
    app_claim: str | None = Field(None, description="Claim that names the app, if `app` is not given.")
    apps: dict[_Word, _Word] = Field({}, description="App by value of that claim; none: the value is the client id.")
    user_claim: str = Field("sub", description="Claim that names the user.")
    plan: Name | None = Field(None, description="Plan of every token of this issuer; none: the plan of the app.")
    plan_claim: str | None = Field(None, description="Claim that names the plan; a token without it has `plan`.")
    plans: Names = Field({}, description="Plans that the claim may name, or a map of its values to plans.")
    tier: Name | None = Field(
        None, description="Routing tier of every token of this issuer; none: that of the app or plan."
    )
    tier_claim: str | None = Field(None, description="Claim that names the tier; a token without it has `tier`.")
    tiers: Names = Field({}, description="Tiers that the claim may name, or a map of its values to tiers.")
    scope_claim: str | None = Field(
        None, description="Claim with the scopes, a list or a text with spaces; none: every token may do work."
    )
    scopes: Scopes = Field(
        {"inference": "inference", "sign:job": "sign:job"},
        description="Values in that claim that allow work, or a map of them to `inference` and `sign:job`.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.jwks_file is not None and self.jwks_url is not None:
            raise ValueError("give only one of `jwks_file` and `jwks_url`")
        if self.jwks_file is None and self.jwks_url is None and not has_discovery(self.issuer):
            raise ValueError("give one of `jwks_file` and `jwks_url`, as `issuer` is no https URL to discover it from")
        if (self.app is None) == (self.app_claim is None):
            raise ValueError("give exactly one of `app` and `app_claim`")
        for claim, values in (("app", False), ("plan", True), ("tier", True)):
            named = getattr(self, f"{claim}_claim") is not None
            if getattr(self, f"{claim}s") and not named:
                raise ValueError(f"`{claim}s` has no meaning without `{claim}_claim`")
            if values and named and not getattr(self, f"{claim}s"):
                raise ValueError(f"give `{claim}s`, the values that `{claim}_claim` may have")
        return self


def unknown_names(issuers: Iterable[Issuer], plans: Container[str], tiers: Container[str]) -> Iterator[Fault]:
    """Yield each plan and tier that an issuer may give and that there is not, by its place in the settings."""
    for index, issuer in enumerate(issuers):
        for kind, known, named in (
            ("plan", plans, (issuer.plan, *issuer.plans.values())),
            ("tier", tiers, (issuer.tier, *issuer.tiers.values())),
        ):
            for name in dict.fromkeys(named):
                if name is not None and name not in known:
                    yield ("issuers", index), f"there is no {kind} {name!r}"
