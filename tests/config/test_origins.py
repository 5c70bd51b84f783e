"""Origins are written as browsers send them. Hazard: one that is accepted, and that no page ever matches."""

from __future__ import annotations

import pytest

from config.access import Cors
from config.origins import browser_origin

SENT = (
    "https://app.example",
    "http://localhost:3000",
    "https://[::1]:8443",
    "https://xn--bcher-kva.example",
    "http://a_b.example:443",
    "capacitor://localhost",
    "chrome-extension://abcdefghijklmnop",
    "https://app.example:65535",
)
NEVER_SENT = (
    "https://[::1",
    "https://::1]",
    "https://[0:0::1]",
    "https://[1.2]",
    "https://app.example:99999",
    "https://app.example:65536",
    "https://app.example:0443",
    "https://app.example:443",
    "http://app.example:80",
    "https://app.example:",
    "https://app.example:\u0661",
    "https://b\u00fccher.example",
    "https://app.example/",
    "https://",
    "app.example",
    "",
)


@pytest.mark.parametrize("origin", SENT)
def test_what_browsers_send_is_an_origin(origin: str) -> None:
    assert browser_origin(origin) == origin


@pytest.mark.parametrize("origin", NEVER_SENT)
def test_what_no_browser_sends_is_none(origin: str) -> None:
    with pytest.raises(ValueError, match="must be an origin as browsers send it") as found:
        browser_origin(origin)
    assert "*" not in str(found.value), "a key takes no such thing"


def test_settings_may_allow_all() -> None:
    assert Cors(allow_origins=("*",)).allow_origins == ("*",)
    with pytest.raises(ValueError, match="must be `\\*`, or an origin"):
        Cors(allow_origins=("https://[::1",))
