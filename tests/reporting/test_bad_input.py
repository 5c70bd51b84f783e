"""Wrong arguments are reported before anything is opened: without Redis, too."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli.main import app

NOBODY = "app_aaaaaaaaaaaaaaaa"
NO_AMOUNTS = ("-5", "0", "1.5", "1e18", "0x10", "", " 5", "+5", "\u0665", "1_000", "five", "9" * 41)


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "arguments",
    [
        ("usage",),
        ("usage", "--app", "sesame; y"),
        ("usage", "--app", NOBODY, "--from", "yesterday"),
        ("usage", "--app", NOBODY, "--to", "2020-11-31"),
        ("usage", "--app", NOBODY, "--from", "2020-11-02", "--to", "2020-11-01"),
        ("usage", "--app", NOBODY, "--from", "0001-01-01", "--to", "9999-12-31"),
        ("usage", "--app", NOBODY, "--group-by", "colour"),
        ("usage", "--app", NOBODY, "--json", "--format", "csv"),
        ("events", "--app", NOBODY, "--from", "2020-13-01"),
        ("events", "--app", NOBODY, "--outcome", "splendid"),
        ("events", "--app", NOBODY, "--limit", "0"),
        ("statements", "--app", NOBODY),
        ("statements", "--app", NOBODY, "--period", "november"),
        ("statements", "--app", NOBODY, "--period", "2020-13"),
        ("statements", "--app", "sesame", "--period", "2020-11"),
        *(("credits", "grant", "--app", NOBODY, amount) for amount in NO_AMOUNTS),
        *(("credits", "debit", "--app", NOBODY, amount) for amount in NO_AMOUNTS),
        ("credits", "grant", "--app", "sesame", "5"),
        ("credits", "grant", "--app", NOBODY),
        ("credits", "grant", "--app", NOBODY, "--user", "sesame|", "5"),
        ("credits", "grant", "--app", NOBODY, "--reference", "", "5"),
        ("credits", "grant", "--app", NOBODY, "--reference", "\x1b", "5"),
        ("credits", "debit", "--app", NOBODY, "--note", "x" * 501, "5"),
        ("credits", "show", "--app", NOBODY, "--user", ""),
        ("export",),
        ("export", "--to", "ftp://sesame@host/"),
        ("export", "--to", "http://"),
        ("export", "--to", "file:"),
        ("export", "--to", "somewhere"),
        ("export", "--to", "http://sesame\n@host/"),
        ("export", "--to", "http://host:99999/"),
        ("export", "--to", "stdout", "--format", "xml"),
        ("export", "--to", "stdout", "--batch", "0"),
        ("export", "--to", "stdout", "--format", "lago", "--batch", "101"),
        ("export", "--to", "stdout", "--group", "a b"),
        ("export", "--to", "stdout", "--group", ""),
        ("export", "--to", "stdout", "--group", "lago\n"),
        ("export", "--to", "stdout", "--header", "sesame"),
        ("export", "--to", "stdout", "--header", "X: sesame\r\nY: 1"),
        ("export", "--to", "stdout", "--header-file", "missing"),
        ("export", "--to", "stdout", "--customers", "missing"),
        ("export", "--to", "stdout", "--customers", "list.json"),
        ("export", "--to", "stdout", "--customers", "broken.json"),
        ("export", "--to", "stdout", "--takeover", "0"),
        ("export", "--to", "http://user:sesame@host/"),
        ("export", "--to", "http://host/", "--header", "Authorization: Bearer sesame"),
        ("export", "--to", "http://host/", "--header", "X-API-KEY: sesame"),
        ("export", "--to", "postgresql"),
        ("export", "--to", "postgresql://sesame@host/"),
        ("export", "--to", "stdout", "--value", "sesame"),
        ("windows", "--to", "http://host/"),
        ("windows", "--to", "http://u:sesame@host/", "--provider", "p"),
        ("windows", "--to", "http://host/", "--provider", "sesame!"),
        ("windows", "--to", "http://host/", "--provider", "p", "--from", "yesterday"),
    ],
)
def test_exit_2_and_nothing_done(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{sesame")
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr
    assert "sesame" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.json", "list.json"]
