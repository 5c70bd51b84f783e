"""`tollgate webhooks`: what changes of an endpoint, and what stays."""

from pathlib import Path

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
