"""Settings of `auth` and `edge`: accepted credentials, CORS, trusted proxies and bounds of a request."""

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from config.base import Model, check_distinct
from config.chats import Chats
from config.issuers import Issuer
from config.networks import Network as IpNetwork
from config.networks import parse_network
from config.origins import BrowserOrigin
from config.workloads import Workload


def _network(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError("must be an address or a network, such as 10.0.0.0/8")
    return parse_network(value) if isinstance(value, str) else value


Network = Annotated[IpNetwork, BeforeValidator(_network), WithJsonSchema({"type": "string", "format": "IP network"})]


class Auth(Model):
    """Which credentials are accepted beside Tollgate's own tokens: API keys, and tokens of external issuers."""

    key_pepper: SecretStr | None = Field(
        None,
        min_length=1,
        description="Secret mixed into stored key hashes (HMAC-SHA-256). Keys made with another pepper stop working.",
    )
    cache_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="Seconds a worker trusts a credential it has checked. Revocation is immediate all the same.",
    )
    cache_entries: int = Field(100_000, ge=100, description="Number of checked credentials that a worker remembers.")
    grace_seconds: float = Field(
        300, ge=0, le=86_400, description="Seconds that known keys keep working while Redis is unreachable."
    )
    failures_per_minute: int = Field(
        30,
        ge=1,
        le=1_000_000,
        description="Refused credentials (401) of one client address (IPv6: one /64 network) in 60 s, for each worker; "
        "past it they get 429. A credential that is good still passes.",
    )
    rotate_after_days: int = Field(
        90,
        ge=0,
        le=3_650,
        description="Days after which listings of keys and the metric `tollgate_keys_rotation_due` remind of rotating "
        "one; 0: they never do.",
    )
    issuers: tuple[Issuer, ...] = Field((), description="External JWT issuers.")
    key_set_networks: tuple[Network, ...] = Field(
        (),
        description="Networks that are not public and may hold key sets all the same. The addresses in `issuers` need "
        "no entry; those that apps registered do, and those that a discovery document names on another host.",
    )

    @field_validator("issuers")
    @classmethod
    def _distinct(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        check_distinct([(each.issuer, each.audience) for each in issuers], "has the same issuer and audience")
        return issuers


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("must be the name of a header")
    return value


HeaderName = Annotated[str, AfterValidator(_header_name), WithJsonSchema({"type": "string", "format": "header name"})]


class Cors(Model):
    """Cross-origin requests from browsers (CORS). Off until an origin is named, or those of keys count."""

    allow_origins: tuple[BrowserOrigin, ...] = Field(
        (), description="Origins whose pages may send requests, or `*` for all."
    )
    key_origins: bool = Field(
        False,
        description="Pages of the origins that an API key is limited to may use that key. Preflights of all origins "
        "are answered then, for they name no key; a request from another page is refused.",
    )
    allow_headers: tuple[HeaderName, ...] = Field(
        ("authorization", "content-type", "idempotency-key", "livepeer", "prefer", "x-api-key", "x-stainless-*"),
        description="Request headers a page may send; a name that ends in `*` stands for all that begin so.",
    )
    expose_headers: tuple[HeaderName, ...] = Field(
        (
            "x-request-id",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "location",
            "etag",
            "link",
            "livepeer-playback-url",
            "idempotency-replayed",
        ),
        description="Response headers a page may read.",
    )
    max_age: int = Field(600, ge=0, description="Seconds a browser may cache the response to a preflight request.")


_LATEST_READ = 1_048_576
"""More than one read from a connection, by which a body may exceed its bound before it is refused."""


class Edge(Model):
    """Bounds of a request, checked before authentication, and what requests get that leave something out."""

    max_header_bytes: int = Field(
        32_768, ge=1_024, le=65_536, description="Most bytes of request line and headers together."
    )
    max_header_fields: int = Field(100, ge=8, le=1_000, description="Most headers of a request.")
    max_body_bytes: int = Field(
        300_000_000,
        ge=1,
        description="Most bytes of a request body; the default is the gateway's own limit for a segment.",
    )
    max_json_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1_024,
        le=64 * 1024 * 1024,
        description="Most bytes of a JSON body on a metered route; it is read whole before admission.",
    )
    max_form_bytes: int = Field(
        12 * 1024 * 1024,
        ge=1_024,
        le=64 * 1024 * 1024,
        description="Most bytes of a form that are read to find its `model_id`; files before it have to fit.",
    )
    body_seconds: float = Field(
        60,
        gt=0,
        le=3_600,
        description="Seconds in which a request body has to arrive, and one more for each `body_bytes_per_second` that "
        "have; time in which its gateway takes nothing does not count. A body of at most 8,192 bytes has "
        "`header_seconds`.",
    )
    body_bytes_per_second: int = Field(
        16_384, ge=1, description="Slowest pace of a request body, in bytes per second, once `body_seconds` are over."
    )
    buffered_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1_048_576,
        description="Most bytes of request bodies that a worker keeps in memory at once, of those that it reads before "
        "it forwards them; past it, requests are refused with 503.",
    )
    buffered_bytes_per_app: int = Field(
        16 * 1024 * 1024,
        ge=1_048_576,
        description="Most of them that belong to one app; past it, its requests are refused with 429.",
    )
    default_models: dict[Workload, Annotated[str, Field(min_length=1)]] = Field(
        {}, description="Model of requests that name none, by workload; without one they are refused."
    )
    async_video: bool = Field(
        False,
        description="Let `/image-to-video` be asynchronous. A stock gateway never finds the result again, and a model "
        "without an orchestrator ends it. Off: the response comes when the video is done.",
    )
    chats: Chats = Field(Chats(), description="Limits of `/llm` and `/v1/chat/completions`.")
    header_seconds: float = Field(10, gt=0, le=300, description="Seconds a client has to send its request head.")
    trusted_proxies: tuple[Network, ...] = Field(
        (), description="Addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."
    )
    cors: Cors = Field(Cors(), description="Cross-origin requests from browsers.")

    @model_validator(mode="after")
    def _room_for_one(self) -> Self:
        largest = max(self.max_json_bytes, self.max_form_bytes) + _LATEST_READ
        if min(self.buffered_bytes, self.buffered_bytes_per_app) < largest:
            raise ValueError(
                "`buffered_bytes` and `buffered_bytes_per_app` must have room for the largest body that is read whole: "
                f"1 MiB more than `max_json_bytes` and `max_form_bytes`, {largest}"
            )
        return self

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
