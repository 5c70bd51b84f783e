"""`tollgate webhooks`: what changes of an endpoint, and what stays."""

from pathlib import Path

import pytest

from tests.cli.conftest import Tollgate


def test_a_change_leaves_what_it_does_not_name(tollgate: Tollgate, client_id: str, tmp_path: Path) -> None:
    data = {"TOLLGATE_DATA_DIR": str(tmp_path)}
    url = "https://hooks.acme.example/tollgate"
    made = tollgate("webhooks", "create", url, "--app", client_id, "--kind", "key.old", "--json", **data).json
    changed = tollgate("webhooks", "change", made["webhook_id"], "--description", "Pager", "--json", **data).json
    assert (changed["url"], changed["kinds"], changed["description"]) == (url, ["key.old"], "Pager")


def test_help_of_a_change_names_no_default_of_what_stays(tollgate: Tollgate) -> None:
    assert "Default: all" in tollgate("webhooks", "create", "--help").out
    assert "Default: all" not in tollgate("webhooks", "change", "--help").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("ftp://receiver.example",), "url: must be an https URL"),
        (("https://receiver.example", "--balance-below", "-1"), "--balance-below must be a whole number"),
        (("https://receiver.example", "--description", "a" * 1_001), "--description must have at most"),
    ],
)
def test_what_cannot_be_registered_is_said_in_words(
    tollgate: Tollgate, client_id: str, options: tuple[str, ...], message: str
) -> None:
    """Hazard: words, patterns and addresses of a library, which tell a person nothing."""
    refused = tollgate("webhooks", "create", "--app", client_id, *options)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"tollgate: {message}"), refused.err
    assert "hould" not in refused.err
