"""The root of the configuration: what `tollgate serve` runs with."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.access import Auth, Edge
from config.plans import BUILT_IN_PLANS, Plan
from config.routing import Gateway, Origin, Pool, Routing
from config.runtime import Currency, Drain, Ledger, Log, Store

DEFAULT_POOL = "default"


def _address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must look like 127.0.0.1:8080")
    return value


Address = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """Every setting has a default: with no file and no environment, the gate starts in front of 127.0.0.1:9935."""

    model_config = SettingsConfigDict(
        env_prefix="TOLLGATE_", env_nested_delimiter="__", extra="forbid", frozen=True, populate_by_name=True
    )

    gateway_url: Origin | None = Field(None, description="The gateway, where one is enough; pools are for more.")
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://`, `rediss://`, `unix://`, `redis+cluster://`, `redis+sentinel://`. None: embedded.",
    )
    data_dir: Path = Field(Path(".tollgate"), description="Folder of the embedded Redis, the journal and metric files.")
    listen: Address = Field("127.0.0.1:8080", description="Public listener.")
    admin_listen: Address = Field("127.0.0.1:9090", description="Private listener: metrics, health.")
    public_url: Origin | None = Field(None, description="Origin under which clients reach the public listener.")
    workers: int = Field(1, ge=1, le=256, description="Worker processes that share the public listener.")
    hold_ttl: float = Field(
        60, ge=1, le=3600, description="Seconds after which a hold is an orphan unless its owner renews it."
    )
    currency: Currency = Field(Currency(), description="The currency of all amounts.")
    plans: dict[str, Plan] = Field({}, description="Plans by name, beside the built-in ones.")
    routing: Routing = Field(Routing(), description="Pools of gateways and the way to them.")
    edge: Edge = Field(Edge(), description="What is refused at the door.")
    auth: Auth = Field(Auth(), description="Credentials.")
    store: Store = Field(Store(), description="Redis.")
    ledger: Ledger = Field(Ledger(), description="Holds, journal and replay.")
    log: Log = Field(Log(), description="Logs.")
    drain: Drain = Field(Drain(), description="Shutdown.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as constructor arguments."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _one_currency(self) -> Self:
        for name, plan in self.plans.items():
            if plan.currency is not None and plan.currency != self.currency.code:
                raise ValueError(
                    f"plans.{name}.currency is {plan.currency}, but the deployment counts in {self.currency.code}"
                )
        return self

    @model_validator(mode="after")
    def _one_way_to_a_gateway(self) -> Self:
        if self.gateway_url and self.routing.pools:
            raise ValueError("give either gateway_url or routing.pools, not both")
        return self

    def all_plans(self) -> dict[str, Plan]:
        """Built-in plans, replaced or joined by the configured ones."""
        return {**BUILT_IN_PLANS, **self.plans}

    def pools(self) -> dict[str, Pool]:
        """Configured pools, else the single pool of `gateway_url`."""
        url = self.gateway_url or "http://127.0.0.1:9935"
        return self.routing.pools or {DEFAULT_POOL: Pool(gateways=(Gateway(url=url),))}
