"""Types of `listen` and `data_dir`; settings of `currency`, `store`, `ledger`, `export`, `log` and `drain`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from config.base import Fault, Model


def _address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be host:port, such as 127.0.0.1:8080, with a port of at most 65535")
    return value


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "host:port"})]


def _folder(value: object) -> object:
    """Refuse what is no path; empty text would be the working directory, whatever that is."""
    if not (isinstance(value, Path) or (isinstance(value, str) and value and "\0" not in value)):
        raise ValueError("must be the path of a folder")
    return value


Folder = Annotated[Path, BeforeValidator(_folder)]


class Currency(Model):
    """The currency of all amounts of the deployment."""

    code: str = Field("ETH", pattern=r"^[A-Z]{3,8}$", description="Code of the currency, for example ETH or USD.")
    decimals: int = Field(
        18,
        ge=0,
        le=18,
        description="Decimal places of the atomic unit: 18 is wei, 6 is micro-dollars. More keep small prices exact.",
    )


def foreign_currencies(plans: Any, code: str) -> list[Fault]:
    """Return an error for each plan, as written, whose currency is not the deployment's."""
    if not isinstance(plans, dict):
        return []
    named = {name: plan.get("currency") for name, plan in plans.items() if isinstance(plan, dict)}
    return [
        ((name, "currency"), f"is {currency}, but the deployment counts in {code}")
        for name, currency in named.items()
        if isinstance(currency, str) and currency != code
    ]


class StoreSettings(Model):
    """Time limits and layout of Redis; its address is `redis_url`."""

    deadline_seconds: float = Field(
        0.25, gt=0.01, le=10, description="Longest time in seconds that a request waits for admission."
    )
    control_timeout_seconds: float = Field(
        2, gt=0.05, le=60, description="Longest time in seconds of a command off the request path."
    )
    memory_high_ratio: float = Field(
        0.75, gt=0, lt=1, description="Used part of the memory of Redis at which a warning is logged."
    )
    memory_critical_ratio: float = Field(
        0.9, gt=0, le=1, description="Used part of the memory of Redis at which an error is logged."
    )
    embedded_memory_bytes: int | None = Field(
        None,
        ge=16 * 1024 * 1024,
        description="Most memory of the embedded Redis, which refuses writes past it. None: three quarters of the "
        "machine's or the container's.",
    )
    hash_tags: int = Field(
        16, ge=1, le=1_024, description="Number of Redis hash tags the apps are spread over; fixed once data exists."
    )


Commit = Literal["group", "each"]
Fsync = Literal["never", "every_second", "always"]


class LedgerSettings(Model):
    """How usage reaches Redis, the local usage journal, and the replay after a failover of Redis."""

    commit: Commit = Field(
        "group",
        description="How busy tenants are admitted and settled. `group`: by shares of the limits that workers take, a "
        "write-ahead log in `data_dir`, and calls for many requests. `each`: each request by two calls, for machines "
        "whose disk may vanish with them.",
    )
    fsync: Fsync = Field(
        "never",
        description="When the write-ahead log of `group` is brought to the disk itself, which matters where a machine "
        "loses power, not where a process dies.",
    )
    journal_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=1_048_576,
        description="Most bytes of local disk for usage while Redis is unreachable; past it, requests are refused.",
    )
    replay_window_seconds: float = Field(
        5,
        ge=1,
        le=600,
        description="Seconds of settled usage before a failover that are checked, and settled again where lost.",
    )


class ExportSettings(Model):
    """Credentials of the receivers of `tollgate export` and `tollgate windows`."""

    token: SecretStr | None = Field(
        None,
        min_length=1,
        description="API key of the receiver, sent as `Authorization: Bearer`: of OpenMeter, Lago, Stripe or NaaP.",
    )
    postgresql_url: SecretStr | None = Field(
        None,
        min_length=1,
        description="Address of the PostgreSQL of `--to postgresql`, as libpq reads it: `postgresql://...`.",
    )


class Log(Model):
    """Logs, which go to standard error, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe level written.")
    requests: bool = Field(True, description="Write one line per request.")


class Drain(Model):
    """Graceful shutdown, which begins with SIGTERM."""

    delay_seconds: float = Field(
        0,
        ge=0,
        le=300,
        description="Seconds between becoming unready and refusing connections, for load balancers to notice.",
    )
    grace_seconds: float = Field(30, ge=0, le=86_400, description="Seconds that running requests have to finish.")
