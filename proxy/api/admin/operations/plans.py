"""Plans and tiers that an app may have."""

from __future__ import annotations

from config.settings import Settings
from middlewares.response.redaction import mask
from proxy.api.admin.operations.errors import invalid


def check_plan(settings: Settings, plan: str | None, tier: str | None) -> None:
    """Raise `ActRefused` for a plan or tier that the configuration does not have; None and an empty tier are none."""
    plans = settings.all_plans()
    if plan is not None and plan not in plans:
        raise invalid(f"there is no plan {mask(plan)!r}; plans are {', '.join(sorted(plans))}")
    tiers = settings.tiers()
    if tier and tier not in tiers:
        raise invalid(f"no plan and no routing rule has the tier {mask(tier)!r}; tiers are {', '.join(sorted(tiers))}")
