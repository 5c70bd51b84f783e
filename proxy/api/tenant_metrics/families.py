"""Usage, credits and limits of a tenant as metrics of Prometheus. Pure.

Labels are workloads, units and limits of the plan alone, so that the number of series is bounded whatever clients send.
Values are floats, as Prometheus has them: bills are in statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from config.runtime import Currency
from config.workloads import SaleUnit
from middlewares.ledger.credit.change import Balance
from proxy.reporting.limits import RuleUse
from proxy.reporting.totals import UsageTotal


@dataclass(frozen=True, slots=True)
class TenantState:
    """What the metrics show."""

    by_workload: Mapping[str, UsageTotal]
    """Usage of the current month (UTC)."""
    since: datetime
    """Begin of that month, at which counters begin anew."""
    balance: Balance
    limits: Sequence[RuleUse]
    running: int


def metrics_text(state: TenantState, currency: Currency) -> bytes:
    """Return the metrics in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Collector(state, currency))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, state: TenantState, currency: Currency) -> None:
        self._state = state
        self._currency = currency

    def collect(self) -> Iterable[Metric]:
        yield from self._usage()
        yield from self._credits()
        yield from self._limits()

    def _money(self, amount: int) -> float:
        return float(amount / 10**self._currency.decimals)

    def _usage(self) -> Iterator[Metric]:
        state, unit = self._state, self._currency.code.lower()
        requests = CounterMetricFamily(
            "tollgate_tenant_requests", "Requests of the current month (UTC), by workload.", labels=["workload"]
        )
        spend = CounterMetricFamily(
            f"tollgate_tenant_spend_{unit}", "Charges of the current month (UTC), by workload.", labels=["workload"]
        )
        units = CounterMetricFamily(
            "tollgate_tenant_units", "Units of work of the current month (UTC).", labels=["workload", "unit"]
        )
        for workload, total in sorted(state.by_workload.items()):
            requests.add_metric([workload], total.requests)
            spend.add_metric([workload], self._money(total.amount))
            for name, number in sorted(total.units.items()):
                units.add_metric([workload, name], number)
        yield from (requests, spend, units)
        yield GaugeMetricFamily(
            "tollgate_tenant_month_start_timestamp_seconds",
            "When the current month began, at which the counters begin anew.",
            value=state.since.timestamp(),
        )
        yield GaugeMetricFamily("tollgate_tenant_running_requests", "Requests that run now.", value=state.running)

    def _credits(self) -> Iterator[Metric]:
        balance, unit = self._state.balance, self._currency.code.lower()
        if balance.exists:
            yield GaugeMetricFamily(
                f"tollgate_tenant_credits_available_{unit}",
                "Prepaid credits that new requests can still reserve.",
                value=self._money(balance.available),
            )
            yield GaugeMetricFamily(
                f"tollgate_tenant_credits_reserved_{unit}",
                "Prepaid credits that running requests have reserved.",
                value=self._money(balance.held),
            )

    def _limits(self) -> Iterator[Metric]:
        most = GaugeMetricFamily("tollgate_tenant_limit", "Limits of the plan.", labels=["policy", "unit"])
        used = GaugeMetricFamily(
            "tollgate_tenant_limit_used", "What is used or reserved of a limit.", labels=["policy", "unit"]
        )
        for each in self._state.limits:
            labels = [each.rule.policy, each.rule.unit]
            most.add_metric(labels, self._of_limit(each, each.rule.limit))
            used.add_metric(labels, self._of_limit(each, each.used + each.reserved))
        yield from (most, used)

    def _of_limit(self, use: RuleUse, number: int) -> float:
        """Return counted units in those that the operator declared, and money in the currency."""
        return self._money(number) if use.rule.sale_unit is SaleUnit.AMOUNT else number / use.rule.factor
