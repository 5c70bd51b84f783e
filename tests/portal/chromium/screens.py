"""Every page of the portal, for the tests that look at each of them, and for `make screenshots`.

A new page is one more line here. `{app}` and `{empty}` are where the pages of an app begin, one full of hostile data
and one without any; `{key}`, `{user}`, `{webhook}`, `{charged}`, `{running}` and `{refused}` are ids in the former,
`{period}` is this month, and `{link}` is a link to sign in. Only for screenshots, `{busy}` is an app with ten thousand
requests.
"""

from __future__ import annotations

from typing import NamedTuple


class Screen(NamedTuple):
    """One page."""

    name: str
    path: str
    status: int = 200


SCREENS = (
    Screen("apps", "/portal"),
    Screen("overview", "{app}"),
    Screen("overview-empty", "{empty}"),
    Screen("keys", "{app}/keys"),
    Screen("keys-empty", "{empty}/keys"),
    Screen("key", "{app}/keys/{key}"),
    Screen("users", "{app}/users"),
    Screen("users-empty", "{empty}/users?after=z"),
    Screen("user", "{app}/users/{user}"),
    Screen("usage", "{app}/usage"),
    Screen("usage-by-model", "{app}/usage?by=model"),
    Screen("usage-by-user", "{app}/usage?by=user"),
    Screen("usage-empty", "{empty}/usage"),
    Screen("usage-wrong-days", "{app}/usage?from=2026-02-02&to=2026-02-01", 400),
    Screen("requests", "{app}/requests"),
    Screen("requests-empty", "{empty}/requests"),
    Screen("request-charged", "{app}/requests/{charged}"),
    Screen("request-running", "{app}/requests/{running}"),
    Screen("request-refused", "{app}/requests/{refused}"),
    Screen("statements", "{app}/statements"),
    Screen("statement", "{app}/statements/{period}"),
    Screen("statement-empty", "{empty}/statements/2020-02"),
    Screen("webhooks", "{app}/webhooks"),
    Screen("webhooks-empty", "{empty}/webhooks"),
    Screen("webhook", "{app}/webhooks/{webhook}"),
    Screen("try-it", "{app}/try"),
    Screen("try-it-with-key", "{app}/try?key={key}"),
    Screen("audit", "{app}/audit"),
    Screen("audit-empty", "{empty}/audit?action=none"),
    Screen("sessions", "/portal/sessions"),
    Screen("sign-in", "/portal/sign-in"),
    Screen("sign-in-link", "{link}"),
    Screen("error", "{app}/keys/nothing", 404),
)
BUSY_SCREENS = (
    Screen("busy-overview", "{busy}"),
    Screen("busy-keys", "{busy}/keys"),
    Screen("busy-users", "{busy}/users"),
    Screen("busy-statement", "{busy}/statements/{period}"),
    Screen("busy-usage", "{busy}/usage"),
    Screen("busy-usage-by-model", "{busy}/usage?by=model"),
    Screen("busy-usage-by-user", "{busy}/usage?by=user"),
    Screen("busy-requests", "{busy}/requests"),
)
OPERATOR_SCREENS = (
    Screen("operator-today", "{operator}"),
    Screen("operator-tenants", "{operator}/tenants"),
    Screen("operator-tenant", "{operator}/tenants/{client_id}"),
    Screen("operator-plans", "{operator}/plans"),
    Screen("operator-what-if", "{operator}/plans/what-if?app={client_id}&month={period}&plan=narrow"),
    Screen("operator-gateways", "{operator}/gateways"),
    Screen("operator-streams", "{operator}/streams"),
    Screen("operator-attention", "{operator}/attention"),
    Screen("operator-refusals", "{operator}/refusals"),
    Screen("operator-request", "{operator}/requests/{charged}"),
    Screen("operator-audit", "{operator}/audit"),
    Screen("operator-audit-wrong-days", "{operator}/audit?from=yesterday&action=key", 400),
    Screen("operator-audit-verification", "{operator}/audit/verification"),
    Screen("operator-sessions", "{operator}/sessions"),
    Screen("operator-error", "{operator}/tenants/app_aaaaaaaaaaaaaaaa", 404),
)
"""Pages of operators; `{operator}` is where they begin, `{client_id}` the id of the app of hostile data."""
