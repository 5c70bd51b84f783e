"""What the builder API takes and returns about API keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from config.networks import parse_network
from config.origins import browser_origin
from config.workloads import Workload
from middlewares.auth.records import KeyRecord
from middlewares.ledger.admission.key_limits import Increase
from proxy.api.models import RequestBody, ShortText, matching, printable
from proxy.control.key_age import rotation_due
from proxy.control.key_changes import (
    LONGEST_DESCRIPTION,
    LONGEST_ORIGIN,
    MOST_COUNT,
    MOST_ORIGINS,
    KeyChange,
    increase_of,
)


def _network(text: str) -> str:
    try:
        return str(parse_network(text))
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8") from None


def _origin(text: str) -> str:
    if text == "*":
        raise ValueError("must be one origin; leave them out to allow all")
    return browser_origin(text)


def _future(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("must have a time zone")
    if moment <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return moment


Count = Annotated[int, Field(ge=1, le=MOST_COUNT)]
_AMOUNT, _STREAM = "(?:[1-9][0-9]{0,26}|10{27})", "[A-Za-z0-9._-]{1,200}"
Amount = Annotated[
    str,
    Field(json_schema_extra={"pattern": f"^{_AMOUNT}$"}, description="Atomic units, as a decimal string."),
    matching(_AMOUNT, "must be a whole number of atomic units from 1 to 10^27"),
]
Future = Annotated[datetime, AfterValidator(_future)]
Models = list[Annotated[str, Field(min_length=1, max_length=256), AfterValidator(printable)]]
Stream = Annotated[
    str,
    Field(json_schema_extra={"pattern": f"^{_STREAM}$"}),
    matching(_STREAM, "must be the name of a stream: 1 to 200 letters, digits, `.`, `_` and `-`"),
]


class KeyLimitsBody(RequestBody):
    """The key's own limits, beside those of its plan; keys that it is rotated to share what is counted."""

    requests_per_minute: Count | None = Field(None, description="Most requests in 60 seconds.")
    concurrent: Count | None = Field(None, description="Most requests at once.")
    spend_per_day: Amount | None = Field(None, description="Most money in a day (UTC), in atomic units.")
    spend_per_month: Amount | None = Field(None, description="Most money in a month (UTC), in atomic units.")
    spend_total: Amount | None = Field(None, description="Most money in all, in atomic units.")

    @property
    def given(self) -> dict[str, int | str | None]:
        """Return the limits that the body names; null removes one."""
        return {name: getattr(self, name) for name in KeyLimitsBody.model_fields if name in self.model_fields_set}


class KeyIncrease(KeyLimitsBody):
    """Higher limits for some time; what is left out stays as it is."""

    until: Future

    @property
    def increase(self) -> Increase:
        """Return the increase. Raises `UnusableMember`."""
        return increase_of({name: value for name, value in self.given.items() if value is not None}, self.until)


class ChangedKey(RequestBody):
    """What to change of a key; what is left out stays. null, and empty lists, remove what they name."""

    name: ShortText | None = None
    description: Annotated[str, Field(max_length=LONGEST_DESCRIPTION)] | None = None
    expires_at: Future | None = Field(None, description="When it ends; null: never.")
    limits: KeyLimitsBody | None = None
    increase: KeyIncrease | None = None
    workloads: list[Workload] | None = Field(None, max_length=50)
    models: Models | None = Field(None, max_length=100)
    cidrs: list[Annotated[str, AfterValidator(_network)]] | None = Field(None, max_length=100)
    origins: list[Annotated[str, Field(max_length=LONGEST_ORIGIN), AfterValidator(_origin)]] | None = Field(
        None, max_length=MOST_ORIGINS, description="Web pages that may use it, such as `https://app.example`."
    )
    streams: list[Stream] | None = Field(None, max_length=100, description="Streams that it may use, by your names.")

    @property
    def change(self) -> KeyChange:
        """Return the members that the body names. Raises `UnusableMember`."""
        named = self.model_fields_set
        found: KeyChange = {}
        if "name" in named:
            found["name"] = self.name or ""
        if "description" in named:
            found["description"] = self.description or ""
        if "expires_at" in named:
            found["expires_at"] = self.expires_at
        if "limits" in named:
            everything = dict.fromkeys(KeyLimitsBody.model_fields)
            found["limits"] = everything if self.limits is None else self.limits.given
        if "increase" in named:
            found["increase"] = self.increase.increase if self.increase else None
        if "workloads" in named:
            found["workloads"] = self.workloads or ()
        if "models" in named:
            found["models"] = self.models or ()
        if "cidrs" in named:
            found["cidrs"] = self.cidrs or ()
        if "origins" in named:
            found["origins"] = self.origins or ()
        if "streams" in named:
            found["streams"] = self.streams or ()
        return found


class NewKey(ChangedKey):
    """A key to create. What is left out, or empty, narrows nothing."""


class KeyLimitsView(BaseModel):
    """Limits of a key; null: not limited by the key."""

    requests_per_minute: int | None
    concurrent: int | None
    spend_per_day: str | None
    spend_per_month: str | None
    spend_total: str | None


class KeyIncreaseView(KeyLimitsView):
    """Higher limits for some time; null: as ever."""

    until: datetime


class KeyView(BaseModel):
    """An API key without its secret."""

    key_id: str
    user_id: str | None
    name: str
    description: str
    last4: str
    status: Literal["active", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To within some minutes; null: not yet, or not known.")
    rotation_due: bool = Field(description="It is older than keys should become.")
    replaced_by: str | None = Field(description="Id of the key that it was rotated to.")
    limits: KeyLimitsView | None = Field(description="null: none of its own.")
    increase: KeyIncreaseView | None
    workloads: list[Workload] | None = Field(description="null: all.")
    models: list[str] | None = Field(description="null: all.")
    cidrs: list[str] | None = Field(description="null: from anywhere.")
    origins: list[str] | None = Field(description="null: all, and programs that are no browser.")
    streams: list[str] | None = Field(description="null: all.")

    @classmethod
    def of(cls, key: KeyRecord, rotate_after_days: int, used: Mapping[str, datetime] | None = None) -> KeyView:
        """Return the view of a record; `used` is when the keys of its app were last used."""
        increase = key.increase
        return KeyView(
            key_id=key.key_id,
            user_id=key.user,
            name=key.name,
            description=key.description,
            last4=key.last4,
            status=key.status,
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=(used or {}).get(key.key_id),
            rotation_due=rotation_due(key, datetime.now(UTC), rotate_after_days),
            replaced_by=key.replaced_by,
            limits=KeyLimitsView(**asdict(key.limits)) if key.limits else None,
            increase=KeyIncreaseView(**asdict(increase.limits), until=increase.until) if increase else None,
            **narrowing_of(key),
        )


def narrowing_of(key: KeyRecord) -> dict[str, list[Any] | None]:
    """Return what a key is limited to, in an order that stays the same; None: all."""
    return {
        "workloads": None if key.workloads is None else sorted(key.workloads),
        "models": None if key.models is None else sorted(key.models),
        "cidrs": None if key.cidrs is None else list(key.cidrs),
        "origins": None if key.origins is None else list(key.origins),
        "streams": None if key.streams is None else sorted(key.streams),
    }


class CreatedKey(KeyView):
    """A new API key, with its text, which is shown this once."""

    key: str


class KeyPage(BaseModel):
    """Keys, oldest first."""

    keys: list[KeyView]
