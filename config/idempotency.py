"""Settings of `idempotency`: what is kept of requests with an `Idempotency-Key`."""

from typing import Self

from pydantic import Field, model_validator

from config.base import Model


class IdempotencySettings(Model):
    """What Redis keeps of requests with an `Idempotency-Key`, so that a repetition is no second request."""

    seconds: float = Field(
        86_400, ge=60, le=2_592_000, description="Seconds for which a key and its response are kept after the request."
    )
    response_bytes: int = Field(
        256 * 1024,
        ge=0,
        le=4 * 1024 * 1024,
        description="Longest response body that is kept, in bytes; a repetition of a longer one is refused with 409.",
    )
    bytes_per_app: int = Field(
        64 * 1024 * 1024,
        ge=0,
        description="Most bytes of responses that are kept of one app; past it, the oldest are dropped, and a "
        "repetition is refused with 409.",
    )
    keys_per_app: int = Field(
        100_000,
        ge=100,
        description="Most keys that are kept of one app; past it, the oldest are forgotten, and may be used anew.",
    )

    replays_per_minute: int = Field(
        600,
        ge=1,
        le=1_000_000,
        description="Repetitions by one app in 60 s, at each worker, of requests that ended; past it, they get 429.",
    )

    @model_validator(mode="after")
    def _room_for_one(self) -> Self:
        if self.bytes_per_app < self.response_bytes:
            raise ValueError("`bytes_per_app` must have room for one response of `response_bytes`")
        return self
