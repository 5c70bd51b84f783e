"""The root of the configuration: what `tollgate serve` runs with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.access import Auth, Edge
from config.base import Name, Number, faults
from config.control import ControlSettings, IssuerSettings, PortalSettings
from config.environment import PREFIX, EnvironmentSource
from config.explain import Explain
from config.fallbacks import missing_pools
from config.history import HistorySettings, short_of_replay
from config.idempotency import IdempotencySettings
from config.issuers import unknown_names
from config.media import MediaSettings
from config.notifications import NotificationSettings
from config.payments import PaymentSettings, usable_payments
from config.plans import BUILT_IN_PLANS, Plan
from config.routing import Gateway, Origin, Pool, Routing
from config.runtime import (
    Address,
    Currency,
    Drain,
    ExportSettings,
    Folder,
    LedgerSettings,
    Log,
    StoreSettings,
    foreign_currencies,
)
from config.sign_in import SignInSettings, SignUpSettings
from config.webhooks import WebhookSettings
from config.workloads import Workload

DEFAULT_POOL = "default"
NamingPlans = TypeVar("NamingPlans", ControlSettings, SignUpSettings)


class Settings(BaseSettings):
    """Every setting has a default: with no file and no environment, Tollgate starts for a gateway at 127.0.0.1:9935."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    gateway_url: Origin | None = Field(
        None, description="Origin of the gateway, where one is enough; for several use `routing.pools`."
    )
    redis_url: SecretStr | None = Field(
        None,
        min_length=1,
        description="URL of Redis: `redis://`, `rediss://`, `unix://`, `redis+cluster://` or `redis+sentinel://`. "
        "None: an embedded server.",
    )
    history_url: SecretStr | None = Field(
        None,
        min_length=1,
        description="URL of the history: `postgresql://USER:PASSWORD@HOST/DATABASE`, or `sqlite:///PATH`. None: the "
        "SQLite file `history.sqlite` in `data_dir`.",
    )
    data_dir: Folder = Field(
        Path(".tollgate"), description="Folder of the embedded Redis, the usage journal, the history and metric files."
    )
    listen: Address = Field("127.0.0.1:8080", description="Address of the public listener, for clients.")
    admin_listen: Address = Field(
        "127.0.0.1:9090", description="Address of the private listener: metrics, health, webhooks."
    )
    public_url: Origin | None = Field(
        None,
        description="Origin under which clients reach the public listener; unset: the `Host` of each request.",
    )
    media_url: Origin | None = Field(
        None,
        description="Origin under which clients reach the media server that plays live streams; unset: they play "
        "through Tollgate, from gateways that serve WHEP themselves.",
    )
    workers: Annotated[int, Number] = Field(1, ge=1, le=256, description="Processes that share the public listener.")
    hold_ttl: Annotated[float, Number] = Field(
        60, ge=1, le=3600, description="Seconds after which a hold is an orphan unless its owner renews it."
    )
    currency: Currency = Field(Currency(), description="The currency of all amounts.")
    plans: dict[Name, Plan] = Field({}, description="Plans by name, beside the built-in ones.")
    routing: Routing = Field(Routing(), description="Pools of gateways, and which request goes where.")
    edge: Edge = Field(Edge(), description="Bounds of a request, checked first.")
    media: MediaSettings = Field(MediaSettings(), description="How sounds and video segments are measured.")
    control: ControlSettings = Field(
        ControlSettings(), description="Limits of the control surfaces, `/api/v1/...` and others."
    )
    portal: PortalSettings = Field(PortalSettings(), description="The pages for members of apps and for operators.")
    issuer: IssuerSettings = Field(IssuerSettings(), description="Tokens that Tollgate itself issues.")
    auth: Auth = Field(Auth(), description="Which credentials are accepted.")
    sign_in: SignInSettings = Field(SignInSettings(), description="How developers sign in with a wallet.")
    sign_up: SignUpSettings = Field(SignUpSettings(), description="Who may become a developer, and how.")
    webhooks: WebhookSettings = Field(WebhookSettings(), description="Webhooks that gateways and signers call.")
    payments: Annotated[PaymentSettings, AfterValidator(usable_payments)] = Field(
        PaymentSettings(), description="How payments of customers become prepaid credits."
    )
    notifications: NotificationSettings = Field(
        NotificationSettings(), description="Webhooks that Tollgate sends to apps and to the operator."
    )
    store: StoreSettings = Field(StoreSettings(), description="How Redis is used.")
    ledger: LedgerSettings = Field(LedgerSettings(), description="Usage journal and replay.")
    idempotency: IdempotencySettings = Field(
        IdempotencySettings(), description="What is kept of requests with an `Idempotency-Key`."
    )
    export: ExportSettings = Field(ExportSettings(), description="Credentials of receivers of exported events.")
    history: HistorySettings = Field(HistorySettings(), description="What moves from Redis to the history, and when.")
    explain: Explain = Field(Explain(), description="Which refusals are recorded, so that they can be explained.")
    log: Log = Field(Log(), description="What is logged.")
    drain: Drain = Field(Drain(), description="How Tollgate shuts down.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by precedence: environment, then the file (the constructor's arguments)."""
        return EnvironmentSource(settings_cls), init_settings

    @field_validator("admin_listen")
    @classmethod
    def _other_address(cls, address: str, info: ValidationInfo) -> str:
        """Refuse one address for both listeners; port 0 is any free one."""
        if address == info.data.get("listen") and not address.endswith(":0"):
            raise ValueError("is the address of `listen`, too; choose another port")
        return address

    @field_validator("plans", mode="wrap")
    @classmethod
    def _one_currency(
        cls, written: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[str, Plan]:
        """Check plans as written, so that a mismatch is reported together with whatever else is wrong in them."""
        found = foreign_currencies(written, info.data["currency"].code) if "currency" in info.data else []
        try:
            plans: dict[str, Plan] = validate(written)
        except ValidationError as error:
            raise faults(found, beside=error) from None
        if found:
            raise faults(found)
        return plans

    @field_validator("routing")
    @classmethod
    def _url_or_pools(cls, routing: Routing, info: ValidationInfo) -> Routing:
        if routing.pools and info.data.get("gateway_url"):
            raise faults([(("pools",), "gateway_url names a gateway as well; keep one of the two")])
        fallbacks = ((name, each) for name, plan in info.data.get("plans", {}).items() for each in plan.fallbacks)
        wrong = list(missing_pools(fallbacks, routing.pools or (DEFAULT_POOL,)))
        if "plans" in info.data:
            plans: dict[str, Plan] = info.data["plans"]
            wrong += routing.unknown_tiers(_tiers({**BUILT_IN_PLANS, **plans}, routing))
            wrong += routing.unserved_tiers({name: plan.tier for name, plan in plans.items()})
        if wrong:
            raise faults(wrong)
        return routing

    @field_validator("history")
    @classmethod
    def _kept_for_replay(cls, history: HistorySettings, info: ValidationInfo) -> HistorySettings:
        """Refuse to trim what may be replayed after a failover.

        An event that is in the history, older than what the new server has trimmed, would count as trimmed, not as
        lost, and its totals stay short. The window goes back from the failover; the replay itself may take another.
        """
        ledger = info.data.get("ledger")
        if ledger and history.keep_in_redis_seconds < 2 * ledger.replay_window_seconds:
            raise faults([(("keep_in_redis_seconds",), short_of_replay(history, ledger))])
        return history

    @field_validator("control", "sign_up")
    @classmethod
    def _known_plans(cls, section: NamingPlans, info: ValidationInfo) -> NamingPlans:
        known = {**BUILT_IN_PLANS, **info.data.get("plans", {})}
        message = f"is no plan; plans are {', '.join(sorted(known))}"
        if wrong := [(place, message) for place, name in section.named_plans() if name not in known]:
            raise faults(wrong)
        return section

    @field_validator("auth")
    @classmethod
    def _plans_exist(cls, auth: Auth, info: ValidationInfo) -> Auth:
        if "plans" in info.data and "routing" in info.data:
            plans = {**BUILT_IN_PLANS, **info.data["plans"]}
            if found := list(unknown_names(auth.issuers, plans, _tiers(plans, info.data["routing"]))):
                raise faults(found)
        return auth

    def all_plans(self) -> dict[str, Plan]:
        """Return the built-in plans, replaced or joined by the configured ones."""
        return {**BUILT_IN_PLANS, **self.plans}

    def tiers(self) -> set[str]:
        """Return the routing tiers of all plans and rules."""
        return _tiers(self.all_plans(), self.routing)

    def chat_models(self) -> set[str]:
        """Return the ids of all chat models that the configuration names anywhere."""
        return set(self.named_models(Workload.LLM))

    def named_models(self, workload: Workload) -> frozenset[str]:
        """Return the models that the configuration names for a workload anywhere; empty: any may be offered."""
        named = {rule.model for rule in self.routing.rules if rule.workload in (None, workload)}
        named |= {price.model for plan in self.plans.values() for price in plan.prices if price.workload is workload}
        named |= {each.model for plan in self.plans.values() for each in plan.fallbacks if each.workload is workload}
        named.add(self.edge.default_models.get(workload))
        if workload is Workload.LLM:
            named |= self.edge.chats.models.keys()
        return frozenset(model for model in named if model)

    def pools(self) -> dict[str, Pool]:
        """Return the configured pools by name, else the single pool of `gateway_url`."""
        gateway = Gateway(url=self.gateway_url or "http://127.0.0.1:9935")
        return self.routing.pools or {DEFAULT_POOL: Pool(gateways=(gateway,))}


def _tiers(plans: Mapping[str, Plan], routing: Routing) -> set[str]:
    return {plan.tier for plan in plans.values()} | {rule.tier for rule in routing.rules if rule.tier}
