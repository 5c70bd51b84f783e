"""Where the operator has not turned sign-in with a wallet on, or has not installed what it needs."""

from __future__ import annotations

from typing import Any

import pytest

from config.sign_in import SignInSettings
from middlewares.exchange import Refusal
from proxy.identity.siwe import extra
from proxy.identity.wallet_sign_in import SignInAttempt, WalletSignIn, sign_in_failure_limit, terms_of
from tests.cli.conftest import call

NOTHING: Any = None


async def test_where_wallets_may_not_sign_in_nobody_does() -> None:
    """Neither Redis nor the issuer is asked: there is none here."""
    settings = SignInSettings()
    sign_in = WalletSignIn(
        settings,
        terms_of(settings, "https://ai.example.com"),
        nonces=NOTHING,
        sign_up=NOTHING,
        sessions=NOTHING,
        issuer=NOTHING,
        failures=sign_in_failure_limit(1),
    )
    attempt = SignInAttempt("a", "0x", None, "192.0.2.1", "test")
    for asked in (sign_in.nonce("192.0.2.1"), sign_in.sign_in(attempt), sign_in.sign_in(attempt)):
        with pytest.raises(Refusal) as refused:
            await asked
        assert (refused.value.status, refused.value.code) == (404, "not_found")
        assert "sign_in.wallet" in refused.value.detail


@pytest.mark.parametrize("command", ["check", "serve"])
def test_without_the_extra_one_line_says_what_to_install(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: a worker that fails at the first sign-in, or never starts and does not say why."""
    monkeypatch.setattr(extra, "find_spec", lambda module: None if module == "coincurve" else object())
    done = call(command, TOLLGATE_SIGN_IN__WALLET="true")
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith("tollgate: sign_in.wallet: needs coincurve;")
    assert 'pip install "naap-tollgate[wallet]"' in line
    assert call("check", TOLLGATE_SIGN_IN__WALLET="false").code == 0


def test_with_the_extra_nothing_is_missing() -> None:
    assert extra.missing_packages() == []
    assert call("check", TOLLGATE_SIGN_IN__WALLET="true").code == 0


def test_open_sign_up_needs_a_plan_that_exists() -> None:
    done = call("check", TOLLGATE_SIGN_UP__POLICY="open")
    assert (done.code, "plan" in done.err) == (2, True)
    done = call("check", TOLLGATE_SIGN_UP__POLICY="open", TOLLGATE_SIGN_UP__PLAN="none")
    assert done.code == 2
    assert "sign_up.plan: is no plan; plans are free" in done.err
    assert call("check", TOLLGATE_SIGN_UP__POLICY="open", TOLLGATE_SIGN_UP__PLAN="free").code == 0
