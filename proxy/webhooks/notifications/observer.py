"""What the notifier reports."""

from __future__ import annotations

from typing import Protocol

from proxy.webhooks.notifications.attempts import Delivery


class NotificationObserver(Protocol):
    """Takes what happens, for metrics and the log."""

    def found(self, added: int) -> None:
        """Take that so many webhooks were added to the outbox."""

    def attempted(self, delivery: Delivery) -> None:
        """Take an attempt, as the outbox has it now."""


class UnobservedNotifications:
    """Takes nothing."""

    def found(self, added: int) -> None: ...

    def attempted(self, delivery: Delivery) -> None: ...
