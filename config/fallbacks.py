"""Settings of what a plan serves in place of a refusal: a cheaper model, other gateways, or both."""

from collections.abc import Container, Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.base import Fault, Model, Name, faults
from config.limits import ScopedLimits
from config.workloads import Workload

DenialCode = Literal["rate_limited", "concurrency_limited", "plan_limit", "key_limit", "insufficient_balance"]


class Fallback(Model):
    """What serves requests over a limit in place of their refusal: a model, a pool, or both."""

    workload: Workload | None = Field(
        None, description="Workload of the requests; none: every one that has no fallback of its own."
    )
    instead_of: Annotated[tuple[DenialCode, ...], Field(min_length=1)] = Field(
        ("rate_limited", "plan_limit", "insufficient_balance"), description="Codes of the refusals that it replaces."
    )
    model: Annotated[str, Field(max_length=256, pattern=r"^[ -~]+$")] | None = Field(
        None, description="Model that does the work, at its own prices; none: the requested one."
    )
    pool: Name | None = Field(None, description="Pool of its gateways; none: as `routing.rules` say for the model.")
    limits: ScopedLimits = Field(
        description="Limits of what falls back, at least one. They are counted apart, in place of the plan's: those "
        "in `amount`, the balance and the key's own limits stay in force, those in money unless the model is free."
    )

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.model is None and self.pool is None:
            raise faults([(("model",), "is missing, and `pool`, too; name one of them, or both")])
        if self.model is not None and self.workload is None:
            raise faults([(("workload",), "is missing; a model is one of a workload")])
        if self.limits == ScopedLimits():
            raise faults([(("limits",), "has no limit; what falls back would not be limited at all")])
        return self


def missing_pools(fallbacks: Iterable[tuple[str, Fallback]], pools: Container[str]) -> Iterator[Fault]:
    """Yield each pool that a fallback names and that there is not; with each fallback comes the name of its plan."""
    for plan, each in fallbacks:
        if each.pool is not None and each.pool not in pools:
            yield ("pools",), f"has none named {each.pool!r}, which plan {plan!r} falls back to"
