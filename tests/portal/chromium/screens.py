"""Every page of the portal, for the tests that look at each of them, and for `make screenshots`.

A new page is one more line here. `{app}` and `{empty}` are where the pages of an app begin, one full of hostile data
and one without any; `{key}`, `{charged}`, `{running}` and `{refused}` are ids in the former, `{link}` is a link to sign
in. Only for screenshots, `{busy}` is an app with ten thousand requests.
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
    Screen("usage", "{app}/usage"),
    Screen("usage-by-model", "{app}/usage?by=model"),
    Screen("usage-by-user", "{app}/usage?by=user"),
    Screen("usage-empty", "{empty}/usage"),
    Screen("requests", "{app}/requests"),
    Screen("requests-empty", "{empty}/requests"),
    Screen("request-charged", "{app}/requests/{charged}"),
    Screen("request-running", "{app}/requests/{running}"),
    Screen("request-refused", "{app}/requests/{refused}"),
    Screen("sessions", "/portal/sessions"),
    Screen("sign-in", "/portal/sign-in"),
    Screen("sign-in-link", "{link}"),
    Screen("error", "{app}/keys/nothing", 404),
)
BUSY_SCREENS = (
    Screen("busy-overview", "{busy}"),
    Screen("busy-keys", "{busy}/keys"),
    Screen("busy-usage", "{busy}/usage"),
    Screen("busy-usage-by-model", "{busy}/usage?by=model"),
    Screen("busy-usage-by-user", "{busy}/usage?by=user"),
    Screen("busy-requests", "{busy}/requests"),
)
