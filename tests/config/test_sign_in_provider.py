"""Settings of the provider at which people sign in to the portal."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.loader import load
from config.sign_in_provider import SignInProvider
from tests.config.conftest import Write

WHOLE = {"issuer": "https://login.example/realm", "client_id": "tollgate", "client_secret": "s3cret-of-ours"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"issuer": WHOLE["issuer"]}, "needed together"),
        ({**WHOLE, "client_secret": None}, "needed together"),
        ({**WHOLE, "issuer": "http://login.example"}, "https URL"),
        ({**WHOLE, "issuer": "https://login.example?x=1"}, "without a query"),
        ({**WHOLE, "scopes": ["email"]}, "`openid`"),
        ({**WHOLE, "scopes": ["openid", "a b"]}, "pattern"),
        ({**WHOLE, "domains": ["House.example"]}, "pattern"),
        ({**WHOLE, "domains": ["house.example"], "verified_email": False}, "anybody could claim"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as error:
        SignInProvider.model_validate(settings)
    assert "s3cret" not in str(error.value)


def test_none_is_configured_by_default() -> None:
    assert SignInProvider().issuer is None
    assert SignInProvider.model_validate({**WHOLE, "issuer": "http://127.0.0.1:5556/dex"}).verified_email


def test_the_secret_may_be_in_a_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-ours\n")
    monkeypatch.setenv("TOLLGATE_PORTAL__OIDC__CLIENT_SECRET_FILE", str(secret))
    found = load(write("portal: {oidc: {issuer: https://login.example, client_id: tollgate}}\n")).portal.oidc
    assert found.client_secret is not None
    assert found.client_secret.get_secret_value() == "s3cret-of-ours"
    assert "s3cret" not in repr(found)
