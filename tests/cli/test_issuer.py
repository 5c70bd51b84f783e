"""The signing keys of the issuer from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.cli.conftest import Tollgate


def test_the_signing_key_is_rotated_ahead_of_time(tollgate: Tollgate) -> None:
    first = tollgate("issuer", "rotate", "--json").json
    second = tollgate("issuer", "rotate", "--lead", "2h", "--json").json
    assert first["kid"] != second["kid"]
    assert first["algorithm"] == "ES256"
    ahead = datetime.fromisoformat(second["signs_from"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=55) < ahead <= timedelta(hours=2)


def test_a_lead_that_cannot_be_meant_is_refused(tollgate: Tollgate) -> None:
    assert tollgate("issuer", "rotate", "--lead", "soon").code == 2
    assert tollgate("issuer", "rotate", "--lead", "52w").code == 2
    assert tollgate("issuer", "rotate", "--lead", "9s").code == 2
