"""Limits of a plan: request rates, concurrency and unit caps, by scope."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, field_validator

from config.base import Model, Whole, check_distinct, faults
from config.workloads import SaleUnit


class Limit(Model):
    """An upper limit. `60` is short for `{max: 60}`."""

    max: Annotated[int, Field(gt=0, le=2**53), Whole] = Field(description="Largest number allowed.")
    shadow: bool = Field(False, description="Only count and report what this limit would have refused.")


def _limit(value: Any, validate: ValidatorFunctionWrapHandler) -> Limit:
    short = not isinstance(value, dict | Limit)
    try:
        limit: Limit = validate({"max": value} if short else value)
    except ValidationError as error:
        raise (faults([((), error.errors()[0]["msg"])]) if short else error) from None
    return limit


Ceiling = Annotated[Limit, WrapValidator(_limit)]


class Cap(Model):
    """The most of one unit that may be used in a calendar period (UTC)."""

    unit: SaleUnit = Field(description="Unit that is counted; `amount` caps the money spent.")
    per: Literal["day", "month"] = Field(description="The calendar period, in UTC.")
    max: Annotated[int, Field(gt=0, le=10**27), Whole] = Field(description="The most that may be used in one period.")
    shadow: bool = Field(False, description="Only count and report what this cap would have refused.")


class Limits(Model):
    """Limits of one scope; what is not named is not limited."""

    requests_per_minute: Ceiling | None = Field(None, description="Most requests in any 60 seconds.")
    requests_per_day: Ceiling | None = Field(None, description="Most requests in any 24 hours.")
    concurrent: Ceiling | None = Field(None, description="Most requests in flight at once.")
    caps: tuple[Cap, ...] = Field((), description="Unit caps per calendar day or month.")

    @field_validator("caps")
    @classmethod
    def _different(cls, caps: tuple[Cap, ...]) -> tuple[Cap, ...]:
        check_distinct([(cap.unit, cap.per) for cap in caps], "caps the same unit in the same period")
        return caps


class Maxima(Model):
    """The most that one request may ask for; a request for more is refused with 400. They bound what is reserved."""

    image_side: Annotated[int, Field(ge=1_024, le=65_535), Whole] = Field(
        4_096,
        description="Largest width and height of an image or a video, requested or uploaded, in pixels; no smaller "
        "than what a gateway makes of a request that names none.",
    )
    images: Annotated[int, Field(ge=1, le=65_535), Whole] = Field(
        10, description="Largest `num_images_per_prompt`, and largest number of images where none is given yet."
    )
    prompt_bytes: Annotated[int, Field(ge=1), Whole] | None = Field(
        None,
        description="Most bytes of UTF-8 text in all messages of a chat, or in the text to speak. None: only "
        "`edge.chats` limits chats.",
    )


class ScopedLimits(Model):
    """Limits by scope (key, user, app, everyone); a request has to pass all of them."""

    key: Limits = Field(Limits(), description="Counted for each API key.")
    user: Limits = Field(
        Limits(), description="Counted for each user of an app (or the app itself, where none is named)."
    )
    app: Limits = Field(Limits(), description="Counted for each app.")
    everyone: Limits = Field(
        Limits(),
        alias="global",
        description="Counted over all apps of the plan together. On Redis Cluster each hash tag gets a share.",
    )
