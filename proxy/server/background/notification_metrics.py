"""Metrics and log lines of webhooks that are sent."""

from __future__ import annotations

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from proxy.webhooks.notifications.attempts import Delivery, DeliveryState

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.webhooks")


class NotificationMetrics:
    """Implements `proxy.webhooks.notifications.observer.NotificationObserver`; one instance per process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.webhooks = Counter("tollgate_webhooks", "Webhooks added to the outbox.", registry=registry)
        self.attempts = Counter(
            "tollgate_webhook_attempts",
            "Attempts to deliver a webhook: `delivered`, `pending` (tried again later) or `failed` (for good).",
            ("result",),
            registry=registry,
        )

    def found(self, added: int) -> None:
        self.webhooks.inc(added)

    def attempted(self, delivery: Delivery) -> None:
        """Count it; one line for what is tried no more."""
        self.attempts.labels(delivery.state.value).inc()
        if delivery.state is DeliveryState.FAILED:
            log.warning("webhook_failed", endpoint=delivery.endpoint, webhook=delivery.id, reason=delivery.error)
