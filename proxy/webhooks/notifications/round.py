"""One round of the notifier: what time it is, and who wants which notifications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from proxy.control.webhook_endpoints import WebhookEndpoint
from proxy.webhooks.notifications.notification import Notification, NotificationKind

Addressed = tuple[str, Notification]
"""Id of an endpoint, and a notification for it."""


@dataclass(frozen=True)
class NotifierRound:
    """The endpoints of all owners at one moment."""

    now: int
    """Redis time, Unix milliseconds."""
    endpoints: Mapping[str, WebhookEndpoint]
    """By id."""

    @cached_property
    def by_owner(self) -> Mapping[str, Sequence[WebhookEndpoint]]:
        """Return the endpoints of each owner."""
        found: dict[str, list[WebhookEndpoint]] = {}
        for each in self.endpoints.values():
            found.setdefault(each.owner, []).append(each)
        return found

    def owners_that_want(self, kinds: Iterable[NotificationKind]) -> set[str]:
        """Return the owners with an endpoint that takes one of these kinds."""
        wanted = list(kinds)
        return {each.owner for each in self.endpoints.values() if any(each.wants(kind) for kind in wanted)}

    def address(self, notification: Notification, happened: int | None = None) -> list[Addressed]:
        """Return the notification for each endpoint of its owner that wants it.

        What `happened` (Unix milliseconds; None: it is so now) before an endpoint existed is not for it.
        """
        return [
            (each.webhook_id, notification)
            for each in self.by_owner.get(notification.owner, ())
            if each.wants(notification.kind)
            and (happened is None or happened >= int(each.created_at.timestamp() * 1_000))
        ]


class Finder(Protocol):
    """Finds notifications. It may find the same again: the outbox takes each once."""

    async def find(self, current: NotifierRound) -> list[Addressed]:
        """Return the notifications that are due now. Raises `HistoryUnavailable` and the errors of the client."""
        ...
