"""Puts the catalog together from the configuration, the route table, and the health of the gateways."""

from __future__ import annotations

from collections.abc import Iterator

from config.settings import Settings
from config.workloads import Workload
from middlewares.routes import ROUTES
from middlewares.tier_routing.fleet import Fleet, choose_pools, rules_in_force
from proxy.api.catalog.models import Availability, Catalog, RouteView, TierCapability, WorkloadView
from proxy.api.catalog.plans import plan_view
from proxy.reporting.tables import CurrencyView

OFFERED = tuple(dict.fromkeys(route.workload for route in ROUTES if route.begins_work))
"""Workloads that clients can begin, in the order of the route table."""


class Offer:
    """What one worker knows of the offer."""

    def __init__(self, settings: Settings, fleet: Fleet) -> None:
        self._settings = settings
        self._fleet = fleet
        self._rules = rules_in_force(settings.routing, fleet)

    @property
    def public(self) -> bool:
        """True if the catalog needs no credential."""
        return self._settings.control.catalog.public

    def catalog(self, own_plan: str | None = None) -> Catalog:
        """Return the catalog as it is now; `own_plan` is that of the caller, which is shown in any case."""
        currency = self._settings.currency
        shown = self._settings.control.catalog.plans
        plans = {
            name: plan
            for name, plan in self._settings.all_plans().items()
            if shown is None or name in shown or name == own_plan
        }
        tiers = list(dict.fromkeys(plan.tier for plan in plans.values()))
        return Catalog(
            currency=CurrencyView.of(currency),
            workloads=[self._workload(workload, tiers) for workload in OFFERED],
            plans=[plan_view(name, plan, currency) for name, plan in plans.items()],
            own_plan=own_plan,
        )

    def _workload(self, workload: Workload, tiers: list[str]) -> WorkloadView:
        models = sorted(self._settings.named_models(workload))
        routes = [
            RouteView(name=route.name, methods=route.methods.split(), paths=list(route.paths))
            for route in ROUTES
            if route.workload is workload and route.begins_work
        ]
        capability = list(self._capability(workload, tiers, models))
        return WorkloadView(workload=workload, routes=routes, models=models, capability=capability)

    def _capability(self, workload: Workload, tiers: list[str], models: list[str]) -> Iterator[TierCapability]:
        """Yield the state of each tier; of a model only where it is routed otherwise than the rest."""
        for tier in tiers:
            common = choose_pools(self._rules, tier, workload, None)
            yield self._state(tier, None, common)
            for model in models:
                pools = choose_pools(self._rules, tier, workload, model)
                if pools != common:
                    yield self._state(tier, model, pools)

    def _state(self, tier: str, model: str | None, pools: tuple[str, ...]) -> TierCapability:
        states = {state.url: state for pool in pools for state in self._fleet.pools[pool]}
        chosen = next(
            (pool for pool in pools if any(self._fleet.is_healthy(each.url) for each in self._fleet.pools[pool])), None
        )
        if not pools:
            availability = Availability.NOT_OFFERED
        elif chosen is None:
            availability = Availability.UNAVAILABLE
        else:
            availability = Availability.AVAILABLE if chosen == pools[0] else Availability.FALLBACK
        return TierCapability(
            tier=tier,
            model=model,
            availability=availability,
            healthy_gateways=sum(not state.ejected for state in states.values()),
            gateways=len(states),
        )
