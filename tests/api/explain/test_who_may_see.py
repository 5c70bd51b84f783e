"""Who may see the explanation of a request of an app."""

from __future__ import annotations

import pytest

from proxy.api.caller import Caller
from proxy.api.explain.endpoint import may_see


@pytest.mark.parametrize(
    ("caller", "user", "key", "allowed"),
    [
        (Caller("a", None, frozenset({"read"})), "u", "k", True),
        (Caller("a", "u", frozenset({"inference"})), "u", "k", True),
        (Caller("a", "u", frozenset({"inference"})), "v", "k", False),
        (Caller("a", "u", frozenset({"read"}), key="k"), None, "k", False),
        (Caller("a", None, frozenset({"inference"}), key="k"), "u", "k", True),
        (Caller("a", None, frozenset({"inference"}), key="k"), None, "other", False),
        (Caller("a", None, frozenset({"inference"})), None, None, False),
    ],
)
def test_who_may_see_a_request(caller: Caller, user: str | None, key: str | None, allowed: bool) -> None:
    assert may_see(caller, user, key) is allowed
