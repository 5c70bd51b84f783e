"""Settings of the webhooks on the private listener: those of gateways, of remote signers, and of discovery."""

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema, model_validator

from config.base import Model, Name, check_distinct
from config.prices import Amount


def _long(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value()) < 16:
        raise ValueError("must have 16 characters or more")
    return secret


Secret = Annotated[SecretStr | None, AfterValidator(_long)]

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
MAX_ORCHESTRATORS = 1_000
"""Most orchestrators of one list; more than any gateway would search."""


def orchestrator_address(text: str) -> str:
    """Return an orchestrator's address as lists and the block list spell it: `https://host:port`, in lower case.

    Raises `ValueError` for anything but an https origin.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("must look like https://host:port") from None
    if parts.scheme != "https" or not _HOST.fullmatch(host) or parts.username or parts.query or parts.fragment:
        raise ValueError("must look like https://host:port")
    if parts.path not in ("", "/"):
        raise ValueError("must be an origin only, without a path")
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}:{443 if port is None else port}"


OrchestratorAddress = Annotated[
    str, AfterValidator(orchestrator_address), WithJsonSchema({"type": "string", "format": "https origin"})
]


def _list_url(url: str) -> str:
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.scheme not in (("https", "http") if local else ("https",)):
        raise ValueError("must be an https URL, or an http URL of this machine")
    return url


ListUrl = Annotated[str, AfterValidator(_list_url), WithJsonSchema({"type": "string", "format": "https URL"})]


class Orchestrator(Model):
    """One orchestrator of a list."""

    address: OrchestratorAddress = Field(description="Its https origin, for example `https://orch.example.com:8935`.")
    score: float = Field(1, ge=0, le=1, description="1: trusted, 0: untrusted; only transcoding makes a difference.")


class OrchestratorList(Model):
    """Where the list of orchestrators of one tier comes from: exactly one of three sources."""

    orchestrators: tuple[Orchestrator, ...] | None = Field(
        None, max_length=MAX_ORCHESTRATORS, description="The list itself."
    )
    file: Path | None = Field(
        None,
        description="File with the list, read again when it has changed: JSON as gateways take it, or an address a "
        "line.",
    )
    url: ListUrl | None = Field(
        None,
        description="URL of the list, fetched in the background: a JSON list of objects with `address` or `orchUri`, "
        "best first. A list that cannot be refreshed stays in use.",
    )
    refresh_seconds: float = Field(60, ge=5, le=86_400, description="Seconds between two fetches of `url`.")
    top: int = Field(
        100, ge=1, le=MAX_ORCHESTRATORS, description="Only so many of the list are passed on, from its start."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.orchestrators, self.file, self.url)) != 1:
            raise ValueError("give exactly one of `orchestrators`, `file` and `url`")
        check_distinct([each.address for each in self.orchestrators or ()], "has the same address")
        return self


class DiscoveryWebhook(Model):
    """The lists of orchestrators for the gateways' `-orchWebhookUrl`, one for each tier."""

    secret: Secret = Field(
        None, description="Secret in the URL, 16 characters or more. None: `/webhooks/orchestrators/...` is 404."
    )
    tiers: dict[Name, OrchestratorList] = Field({}, description="Lists by tier.")


class SignerWebhook(Model):
    """The webhook of remote signers (`-remoteSignerWebhookUrl`): who may be paid for, and until when."""

    secret: Secret = Field(
        None, description="Secret that signers have to send, 16 characters or more. None: `/webhooks/signer` is 404."
    )
    expiry_seconds: int = Field(
        30,
        ge=1,
        le=3_600,
        description="Seconds that a signer relies on one response: so long a session goes on after its key was revoked "
        "or its price ceiling lowered.",
    )
    prepaid_expiry_seconds: int = Field(
        10,
        ge=1,
        le=3_600,
        description="The same for plans with prepaid credits or caps: so long a session goes on once they are used up.",
    )
    minimum_balance: Amount = Field(
        0, description="Prepaid plans: 483 unless more than this is available, in the currency's atomic unit."
    )


class WebhookSettings(Model):
    """Webhooks on the private listener, by which gateways and signers ask what may begin, and may go on."""

    secret: Secret = Field(
        None, description="Secret that gateways have to send, 16 characters or more. None: every webhook is refused."
    )
    tick_seconds: float = Field(
        5, gt=0, le=60, description="The gateways' `-liveAIHeartbeatInterval`: one tick is paid for in advance."
    )
    gap_seconds: float = Field(
        30,
        gt=0,
        le=600,
        description="Longest time between two heartbeats that is charged; after a longer one the stream had paused.",
    )
    rtmp_transcoding: bool = Field(
        False,
        description="Allow transcoding by RTMP. Gateways report no usage of it: it is neither metered nor charged.",
    )
    signer: SignerWebhook = Field(SignerWebhook(), description="The webhook of remote signers.")
    discovery: DiscoveryWebhook = Field(DiscoveryWebhook(), description="Lists of orchestrators for gateways.")
