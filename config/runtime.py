"""The machinery: store, ledger, logs, shutdown."""

from typing import Literal

from pydantic import Field

from config.base import Model


class Currency(Model):
    """The one currency of the deployment."""

    code: str = Field("ETH", pattern=r"^[A-Z]{3,8}$", description="Its code, for example ETH or USD.")
    decimals: int = Field(
        18,
        ge=0,
        le=18,
        description="Digits of its atomic unit: 18 counts in wei, 6 in micro-dollars. More keep small prices exact.",
    )


class Store(Model):
    """Time limits and layout of Redis; its address is `redis_url`."""

    deadline_seconds: float = Field(0.25, gt=0.01, le=10, description="Longest time a request may wait for admission.")
    control_timeout_seconds: float = Field(
        2, gt=0.05, le=60, description="Longest time for anything off the request path."
    )
    hash_tags: int = Field(
        16, ge=1, le=1_024, description="Number of slots the apps are spread over; fixed once data exists."
    )


class Ledger(Model):
    """Holds and their end."""

    journal_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=1_048_576,
        description="Local disk that usage may take while Redis is away; past it, requests are refused.",
    )
    replay_window_seconds: float = Field(
        5, ge=1, le=600, description="How far back settled usage is checked again after a failover."
    )


class Log(Model):
    """Logs go to standard error, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe level written.")
    requests: bool = Field(True, description="Write one line per request.")


class Drain(Model):
    """What happens on SIGTERM."""

    delay_seconds: float = Field(
        0,
        ge=0,
        le=300,
        description="Time between becoming unready and refusing connections, for load balancers.",
    )
    grace_seconds: float = Field(30, ge=0, le=86_400, description="Time running requests have to finish.")
