"""The routes on webhook endpoints, the same for apps and for operators, one a line."""

from __future__ import annotations

from typing import Any

from proxy.api.json_api import JsonAPI

_ONE = "/{webhook_id}"
_ROUTES: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("POST", "", "create", "create_webhook", {"audit": "webhook.create", "status_code": 201}),
    ("GET", "", "list", "list_webhooks", {}),
    ("GET", _ONE, "get", "get_webhook", {}),
    ("PATCH", _ONE, "change", "change_webhook", {"audit": "webhook.change"}),
    ("DELETE", _ONE, "remove", "remove_webhook", {"audit": "webhook.remove"}),
    ("POST", f"{_ONE}/secret", "rotate_secret", "rotate_webhook", {"audit": "webhook.rotate_secret"}),
    ("POST", f"{_ONE}/test", "test", "test_webhook", {"audit": "webhook.test"}),
    ("GET", f"{_ONE}/deliveries", "deliveries", "list_deliveries", {}),
    ("POST", f"{_ONE}/deliveries/{{delivery_id}}/replay", "replay", "replay_webhook", {"audit": "webhook.replay"}),
)
"""Method, path, method of the endpoints, name, and options of `JsonAPI.serve`."""


def serve_webhooks(api: JsonAPI, path: str, endpoints: object) -> None:
    """Add the routes below `path`; `endpoints` has a method for each."""
    for method, below, served, name, options in _ROUTES:
        api.serve(method, f"{path}{below}", getattr(endpoints, served), name=name, **options)
