"""Where the extra for sign-in at a provider is not installed, one line says so."""

from __future__ import annotations

import pytest

from proxy.identity.provider import extra
from tests.cli.conftest import call

PROVIDER = {
    "TOLLGATE_PORTAL__OIDC__ISSUER": "https://login.example",
    "TOLLGATE_PORTAL__OIDC__CLIENT_ID": "tollgate",
    "TOLLGATE_PORTAL__OIDC__CLIENT_SECRET": "s",
}


@pytest.mark.parametrize("command", ["check", "serve"])
def test_without_the_extra_one_line_says_what_to_install(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda module: None if module == "authlib" else object())
    done = call(command, **PROVIDER)
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith("tollgate: portal.oidc: needs authlib;")
    assert 'pip install "naap-tollgate[oidc]"' in line
    assert call("check").code == 0


def test_with_the_extra_nothing_is_missing() -> None:
    assert call("check", **PROVIDER).code == 0
