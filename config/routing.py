"""Settings of `routing`: gateways, pools, rules, timeouts and response limits."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from config.base import Fault, Model, Name, faults
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

    url: Origin = Field(description="HTTP origin of the gateway, for example `http://127.0.0.1:9935`.")
    max_connections: int = Field(512, ge=1, le=65_536, description="Most connections that one worker opens to it.")


class Health(Model):
    """Health checks: a gateway that does not live gets no new work until it responds to a probe (`GET /healthz`).

    A dropped request or a 5xx has the gateway probed, and does not count by itself.
    """

    failures: int = Field(
        3, ge=1, description="Failures in a row (no connection, no response to a probe) that eject a gateway."
    )
    ejection_seconds: float = Field(
        10, gt=0, le=3600, description="Seconds between two probes of an ejected gateway, give or take a fifth."
    )
    probe_seconds: float = Field(2, gt=0, le=60, description="Seconds that a gateway has to respond to a probe.")


class Pool(Model):
    """Gateways that serve the same requests; the one with the fewest requests in flight is chosen."""

    gateways: tuple[Gateway, ...] = Field(min_length=1, description="The pool's gateways.")
    health: Health = Field(Health(), description="When a gateway is ejected, and when it comes back.")


class RouteRule(Model):
    """Requests that match every condition go to `pool`, then to its fallbacks. The first matching rule counts."""

    tier: str | None = Field(None, description="Tier of the plan; none: every tier.")
    workload: Workload | None = Field(None, description="Workload; none: every workload.")
    model: str | None = Field(None, description="Model id or BYOC capability; none: every model.")
    pool: str = Field(description="Name of the pool.")
    fallback: tuple[str, ...] = Field((), description="Pools to use, in order, when no gateway of `pool` is healthy.")


class GatewayTimeouts(Model):
    """Timeouts of requests to a gateway, in seconds."""

    connect: float = Field(5, gt=0, le=60, description="Longest time to establish a connection.")
    first_byte: float = Field(
        300, gt=0, le=86_400, description="Longest time from the end of the request to the head of the response."
    )
    idle: float = Field(
        120, gt=0, le=86_400, description="Longest time between two pieces of a response or of an upload."
    )


DEFAULT_TIMEOUTS: dict[Workload, GatewayTimeouts] = {
    Workload.IMAGE_TO_VIDEO: GatewayTimeouts(connect=5, first_byte=1_200, idle=120),
    Workload.AUDIO_TO_TEXT: GatewayTimeouts(connect=5, first_byte=900, idle=120),
    Workload.BYOC: GatewayTimeouts(connect=5, first_byte=900, idle=300),
    Workload.TRANSCODING: GatewayTimeouts(connect=5, first_byte=120, idle=60),
    Workload.PLAYBACK: GatewayTimeouts(connect=5, first_byte=30, idle=60),
}
"""GatewayDefault timeouts of workloads that differ from the general ones: inference may take minutes."""


class ResponseLimits(Model):
    """Limits at which Tollgate ends a response that does not end by itself. What was delivered until then counts."""

    seconds: float = Field(
        3_600, gt=0, le=604_800, description="Longest time from its head on; the connection is then cut."
    )
    bytes: int | None = Field(
        None, ge=1, description="Most bytes of its body; the connection is then cut. None: any number."
    )
    empty_lines: int = Field(
        4_096,
        ge=2,
        description="Empty lines in a row that end an event stream, as normal: its worker has nothing more to send.",
    )


DEFAULT_RESPONSE_LIMITS: dict[Workload, ResponseLimits] = {
    Workload.LLM: ResponseLimits(seconds=3_600, bytes=64 * 1024 * 1024, empty_lines=4_096),
    Workload.BYOC: ResponseLimits(seconds=86_400, bytes=None, empty_lines=4_096),
    Workload.PLAYBACK: ResponseLimits(seconds=86_400, bytes=None, empty_lines=4_096),
}
"""Default response limits that differ from the general ones: live data flows for hours."""


class Stickiness(Model):
    """Times that Tollgate remembers which gateway has a resource, in seconds after its last use."""

    manifest_seconds: float = Field(
        3_600,
        ge=60,
        le=604_800,
        description="Manifests of pushed segments; a gateway ends them after a minute without one.",
    )
    stream_seconds: float = Field(86_400, ge=60, le=604_800, description="Live and BYOC streams.")
    result_seconds: float = Field(
        21_600, ge=60, le=604_800, description="Results and asynchronous requests; afterwards they are 404."
    )


class Tier(Model):
    """Hints about orchestrators that a stock gateway takes for requests of a tier; clients cannot set them."""

    byoc_include: tuple[str, ...] = Field(
        (), description="BYOC jobs: use only these orchestrators, by the URL that the gateway knows."
    )
    byoc_exclude: tuple[str, ...] = Field((), description="BYOC jobs: use none of these orchestrators.")
    live_orchestrator: str = Field(
        "", description="Live streams: use orchestrators whose URL contains this text; empty: any."
    )


class Routing(Model):
    """Pools of gateways, the rules that choose one, and how long to wait for them."""

    pools: dict[Name, Pool] = Field({}, description="Pools by name.")
    rules: tuple[RouteRule, ...] = Field(
        (), validate_default=True, description="Rules, in order; none: all requests go to the only pool."
    )
    tiers: dict[Name, Tier] = Field({}, description="Hints about orchestrators, by tier.")
    timeouts: dict[Workload, GatewayTimeouts] = Field({}, description="Timeouts by workload, in place of the defaults.")
    answers: dict[Workload, ResponseLimits] = Field(
        {}, description="Response limits by workload, in place of the defaults."
    )
    stickiness: Stickiness = Field(
        Stickiness(), description="How long resources stay bound to the gateway that has them."
    )

    @field_validator("rules")
    @classmethod
    def _known_pools(cls, rules: tuple[RouteRule, ...], info: ValidationInfo) -> tuple[RouteRule, ...]:
        pools = info.data.get("pools")
        if pools is None:  # they have errors of their own
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

    def unknown_tiers(self, known: Collection[str]) -> Iterator[Fault]:
        """Yield the hints for tiers that are not `known`."""
        for name in sorted(self.tiers.keys() - known):
            yield ("tiers", name), f"is no tier; tiers are {', '.join(sorted(known))}"

    def unserved_tiers(self, plans: Mapping[str, str]) -> Iterator[Fault]:
        """Yield the tiers of plans, by their names, that no rule sends anywhere."""
        served = {rule.tier for rule in self.rules}
        if not served or None in served:
            return
        for tier in sorted(set(plans.values()) - served):
            named = ", ".join(sorted(name for name, each in plans.items() if each == tier))
            yield (
                ("rules",),
                f"none is for tier {tier!r}, of plan {named}, whose requests would all be refused; add a rule with "
                "that tier, or a last one without any",
            )

    def timeouts_of(self, workload: Workload) -> GatewayTimeouts:
        """Return the timeouts of a workload: configured, else its default, else the general default."""
        return self.timeouts.get(workload) or DEFAULT_TIMEOUTS.get(workload) or GatewayTimeouts()

    def response_limits_of(self, workload: Workload) -> ResponseLimits:
        """Return the response limits of a workload: configured, else its default, else the general default."""
        return self.answers.get(workload) or DEFAULT_RESPONSE_LIMITS.get(workload) or ResponseLimits()
