"""A secret is in no message, no representation and no output, however wrong its surroundings are."""

import traceback
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.loader import ConfigError, load
from proxy.cli.main import app
from tests.config.conftest import Write

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"redis_url: [{SECRET}]\n",
        f"redis_url: {{password: {SECRET}}}\n",
        f"auth: {{key_pepper: [{SECRET}]}}\n",
        f"auth: {SECRET}\n",
        f"auth: {{key_pepper: {SECRET}, cache_seconds: 0}}\n",
        f"auth: {{key_pepper: *{SECRET}}}\n",
        f"auth: {{key_pepper: !{SECRET} x}}\n",
        f"auth: {{key_pepper: '{SECRET}\n",
        f"auth: {{key_pepper: {SECRET}\n",
        f"workers: 0\nredis_url: redis://:{SECRET}@host\n",
    ],
)
def test_errors_of_the_file(write: Write, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOLLGATE_AUTH", f'{{"key_pepper": "{SECRET}"'),
        ("TOLLGATE_AUTH", f'{{"key_pepper": ["{SECRET}"]}}'),
        ("TOLLGATE_AUTH", SECRET),
    ],
)
def test_errors_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_secret_file_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pepper").write_bytes(SECRET.encode() + b"\xff")
    monkeypatch.setenv("TOLLGATE_AUTH__KEY_PEPPER_FILE", str(tmp_path / "pepper"))
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8 text") as caught:
        load()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_representations(write: Write) -> None:
    settings = load(write(f"redis_url: redis://:{SECRET}@host\nauth: {{key_pepper: {SECRET}}}\n"))
    assert SECRET not in f"{settings!r} {settings} {settings.auth!r} {settings.model_dump()}"
    assert SECRET not in settings.model_dump_json()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_of_check(write: Write, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(f"redis_url: redis://:{SECRET}@127.0.0.1:6379\nauth: {{key_pepper: {SECRET}}}\n")
    monkeypatch.setenv("TOLLGATE_CONFIG", str(path))
    result = CliRunner().invoke(app, ["check", *options])
    assert result.exit_code == 0
    assert result.output
    assert SECRET not in result.output
