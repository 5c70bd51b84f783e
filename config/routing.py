"""Gateways, the pools they form, and which request goes to which pool."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from config.base import Model, Name, faults
from config.workloads import Workload


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must look like http://host:port")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ValueError("must be an origin only: no path, query or user name")
    _ = parts.port  # raises ValueError for a port that is no number
    return url.rstrip("/")


Origin = Annotated[str, AfterValidator(_origin), WithJsonSchema({"type": "string", "format": "origin"})]


class Gateway(Model):
    """One go-livepeer gateway process."""

    url: Origin = Field(description="Its HTTP origin, for example `http://127.0.0.1:9935`.")
    max_connections: int = Field(512, ge=1, le=65_536, description="Connections one worker may open to it.")


class Health(Model):
    """Passive health: a gateway that keeps failing is left alone for a while."""

    failures: int = Field(3, ge=1, description="Failures in a row (connect, dropped, 502-504) that eject a gateway.")
    ejection_seconds: float = Field(10, gt=0, le=3600, description="How long an ejected gateway is left alone.")


class Pool(Model):
    """Gateways that serve the same requests; the one with the fewest requests in flight is chosen."""

    gateways: tuple[Gateway, ...] = Field(min_length=1, description="The pool's gateways.")
    health: Health = Field(Health(), description="When a failing gateway is left alone.")


class RouteRule(Model):
    """Requests that match every named field go to `pool`, then to its fallbacks. The first matching rule counts."""

    tier: str | None = Field(None, description="Tier of the plan; none: every tier.")
    workload: Workload | None = Field(None, description="Workload; none: every workload.")
    model: str | None = Field(None, description="Model id or BYOC capability; none: every model.")
    pool: str = Field(description="Name of the pool.")
    fallback: tuple[str, ...] = Field((), description="Pools to use, in order, when no gateway of `pool` is healthy.")


class Timeouts(Model):
    """How long the gate waits for a gateway, in seconds."""

    connect: float = Field(5, gt=0, le=60, description="To establish a connection.")
    first_byte: float = Field(300, gt=0, le=86_400, description="From the request sent to the head of the answer.")
    idle: float = Field(120, gt=0, le=86_400, description="Between two pieces of an answer or of an upload.")


DEFAULT_TIMEOUTS: dict[Workload, Timeouts] = {
    Workload.IMAGE_TO_VIDEO: Timeouts(connect=5, first_byte=1_200, idle=120),
    Workload.AUDIO_TO_TEXT: Timeouts(connect=5, first_byte=900, idle=120),
    Workload.BYOC: Timeouts(connect=5, first_byte=900, idle=300),
    Workload.TRANSCODING: Timeouts(connect=5, first_byte=120, idle=60),
    Workload.PLAYBACK: Timeouts(connect=5, first_byte=30, idle=60),
}
"""Where minutes of inference are normal the first byte may take that long."""


class ResponseLimits(Model):
    """When the gate ends an answer that does not end by itself. What was delivered until then counts."""

    seconds: float = Field(3_600, gt=0, le=604_800, description="From its head on; the connection is then cut.")
    bytes: int | None = Field(None, ge=1, description="Of its body; the connection is then cut. None: any number.")
    empty_lines: int = Field(
        4_096, ge=2, description="In a row in an event stream, which is then over: its worker has nothing more to say."
    )


DEFAULT_ANSWERS: dict[Workload, ResponseLimits] = {
    Workload.LLM: ResponseLimits(seconds=3_600, bytes=64 * 1024 * 1024, empty_lines=4_096),
    Workload.BYOC: ResponseLimits(seconds=86_400, bytes=None, empty_lines=4_096),
    Workload.PLAYBACK: ResponseLimits(seconds=86_400, bytes=None, empty_lines=4_096),
}
"""Data of a live job comes for as long as it runs; recordings are long."""


class Stickiness(Model):
    """How long after its last use the gate knows which gateway has something, in seconds."""

    manifest_seconds: float = Field(
        3_600, ge=60, le=604_800, description="Manifests of segment pushes; a gateway ends them after a minute idle."
    )
    stream_seconds: float = Field(86_400, ge=60, le=604_800, description="Live and BYOC streams.")
    result_seconds: float = Field(
        21_600, ge=60, le=604_800, description="Results and asynchronous requests; afterwards they are not found."
    )


class Tier(Model):
    """Which orchestrators serve a tier, as far as a stock gateway takes hints; clients have no say in it."""

    byoc_include: tuple[str, ...] = Field((), description="BYOC: only these orchestrators, as the gateway knows them.")
    byoc_exclude: tuple[str, ...] = Field((), description="BYOC: none of these orchestrators.")
    live_orchestrator: str = Field("", description="Live: orchestrators whose URL has this in it; empty: any.")


class Routing(Model):
    """Pools, rules and timeouts."""

    pools: dict[Name, Pool] = Field({}, description="Pools by name.")
    rules: tuple[RouteRule, ...] = Field(
        (), validate_default=True, description="Rules in order; none: everything goes to the only pool."
    )
    tiers: dict[Name, Tier] = Field({}, description="Orchestrators by tier.")
    timeouts: dict[Workload, Timeouts] = Field({}, description="Timeouts by workload, in place of the defaults.")
    answers: dict[Workload, ResponseLimits] = Field(
        {}, description="Limits of answers by workload, in place of the defaults."
    )
    stickiness: Stickiness = Field(Stickiness(), description="What has to return to the gateway that has it.")

    @field_validator("rules")
    @classmethod
    def _known_pools(cls, rules: tuple[RouteRule, ...], info: ValidationInfo) -> tuple[RouteRule, ...]:
        pools = info.data.get("pools")
        if pools is None:  # wrong in themselves
            return rules
        if len(pools) > 1 and not rules:
            raise ValueError("several pools need rules that say which requests go where")
        named: dict[tuple[str | int, ...], str] = {}
        for index, rule in enumerate(rules):
            named[index, "pool"] = rule.pool
            named |= {(index, "fallback", number): name for number, name in enumerate(rule.fallback)}
        unknown = [(place, f"there is no pool named {name!r}") for place, name in named.items() if name not in pools]
        if unknown:
            raise faults(unknown)
        return rules

    def timeouts_of(self, workload: Workload) -> Timeouts:
        """Timeouts of a workload: configured, else its default, else the general default."""
        return self.timeouts.get(workload) or DEFAULT_TIMEOUTS.get(workload) or Timeouts()

    def response_limits_of(self, workload: Workload) -> ResponseLimits:
        """Limits of answers of a workload: configured, else their default, else the general default."""
        return self.answers.get(workload) or DEFAULT_ANSWERS.get(workload) or ResponseLimits()
