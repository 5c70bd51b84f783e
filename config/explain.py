"""Settings of `explain`."""

from pydantic import Field

from config.base import Model


class Explain(Model):
    """How many refusals are recorded, so that `tollgate explain` can say why; events are recorded in any case."""

    burst: int = Field(
        200,
        ge=0,
        le=10_000,
        description="Refusals by one rule of one app that each worker records in a row; more are counted only. 0: no "
        "refusal is recorded.",
    )
    per_second: float = Field(
        1.0, gt=0, le=1_000, description="How many more of them it may record with each second that passes."
    )
    ring: int = Field(
        1_000, ge=1, le=100_000, description="Newest refusals of an app that Redis keeps until the history has them."
    )
    ring_seconds: int = Field(
        86_400,
        ge=60,
        le=2_592_000,
        description="Seconds after which Redis forgets the refusals of an app without new ones.",
    )
    kept: int = Field(10_000, ge=0, le=10_000_000, description="Newest refusals of an app that the history keeps.")
    kept_days: int = Field(30, ge=1, le=3_650, description="Days for which the history keeps refusals.")
