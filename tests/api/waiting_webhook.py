"""Webhook endpoints to which nothing is sent, and a webhook that waits for one."""

from __future__ import annotations

import time
from typing import Any

from proxy.history.store import History
from proxy.webhooks.notifications import outbox
from proxy.webhooks.notifications.notification import Notification, NotificationKind
from tests.support.builder import BuilderApp
from tests.support.deployment import Deployment


async def paused_webhook(app: BuilderApp, url: str = "https://hooks.invalid/") -> dict[str, Any]:
    """Register a URL of an app for which all waits, and that no notification is for; return it with its secret."""
    path = f"{app.path}/webhooks"
    made = await app.http.post(path, json={"url": url, "kinds": [NotificationKind.TEST]}, auth=app.basic)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    paused = await app.http.patch(f"{path}/{found['webhook_id']}", json={"status": "paused"}, auth=app.basic)
    assert paused.status_code == 200, paused.text
    return found


async def waiting_for(deployment: Deployment, webhook: str) -> str:
    """Let a webhook wait in the outbox; return its id."""
    history = History.of(deployment.settings)
    told = Notification(NotificationKind.KEY_OLD, "app", (webhook,), {})
    await history.write(outbox.enqueue, [(webhook, told)], int(time.time() * 1000))
    await history.close()
    return told.id
