"""Defaults, file, secret files, environment: which one wins, and who is named when a value is wrong."""

from pathlib import Path

import pytest

from config.loader import ConfigError, load, secret_variables
from tests.config.conftest import Problems, Write


def test_no_file_and_no_environment_is_enough() -> None:
    settings = load()
    assert (settings.listen, settings.admin_listen, settings.workers) == ("127.0.0.1:8080", "127.0.0.1:9090", 1)
    assert settings.redis_url is None
    [pool] = settings.pools().values()
    assert [gateway.url for gateway in pool.gateways] == ["http://127.0.0.1:9935"]


def test_the_environment_wins_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("workers: 2\nlisten: 127.0.0.1:1\nstore: {deadline_seconds: 1, hash_tags: 4}\n")
    monkeypatch.setenv("TOLLGATE_WORKERS", "3")
    monkeypatch.setenv("TOLLGATE_STORE__DEADLINE_SECONDS", "0.5")
    settings = load(path)
    assert (settings.workers, settings.listen) == (3, "127.0.0.1:1")
    assert (settings.store.deadline_seconds, settings.store.hash_tags) == (0.5, 4)


def test_a_variable_names_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_CONFIG", str(write("workers: 7\n")))
    assert load().workers == 7


def test_lists_and_mappings_are_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_EDGE__CORS__ALLOW_ORIGINS", '["https://a.example"]')
    monkeypatch.setenv("TOLLGATE_PLANS", '{"gold": {"limits": {"app": {"concurrent": 9}}}}')
    settings = load()
    assert settings.edge.cors.allow_origins == ("https://a.example",)
    assert settings.plans["gold"].limits.app.concurrent.max == 9  # type: ignore[union-attr]


def test_trusted_proxies_may_be_a_plain_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_EDGE__TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1, ::ffff:192.0.2.0/120")
    assert list(map(str, load().edge.trusted_proxies)) == ["10.0.0.0/8", "2001:db8::1/128", "192.0.2.0/24"]


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_GATEWAY_URL", "")
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    assert load().gateway_url is None


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("TOLLGATE_WORKERS", "many", "workers"),
        ("TOLLGATE_STORE__DEADLINE_SECONDS", "soon", "store.deadline_seconds"),
        ("TOLLGATE_LOG", '{"level', "log"),
        ("TOLLGATE_LOG", '{"level": "loud"}', "log.level"),
        ("TOLLGATE_PLANS", "[]", "plans"),
        ("TOLLGATE_EDGE__CORS__ALLOW_ORIGINS", "https://a.example", "edge.cors.allow_origins"),
        ("TOLLGATE_EDGE__TRUSTED_PROXIES", "10.0.0.0/8,all", "edge.trusted_proxies.1"),
    ],
)
def test_a_wrong_value_names_its_variable_beside_the_errors_of_the_file(
    problems: Problems, monkeypatch: pytest.MonkeyPatch, name: str, value: str, path: str
) -> None:
    monkeypatch.setenv(name, value)
    found = problems("drain: {grace_seconds: -1}")
    assert set(found) == {path, "drain.grace_seconds"}
    assert f"(set by {name})" in found[path]
    assert "set by" not in found["drain.grace_seconds"]


@pytest.mark.parametrize(
    "text", ["{'gold': {}}", "gold: {}", '{"gold": {}, "gold": {}}', '{"a": {"fee": 1, "fee": 2}}', '{"a":' * 9_999]
)
def test_a_mapping_that_is_no_json_or_says_something_twice_is_told_what_is_expected(
    problems: Problems, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("TOLLGATE_PLANS", text)
    assert problems("") == {"plans": "must be a mapping in JSON, with no name given twice (set by TOLLGATE_PLANS)"}


@pytest.mark.parametrize(
    "name", ["TOLLGATE_LISTN", "TOLLGATE_STORE__DEADLINE", "TOLLGATE_LISTEN_FILE", "tollgate_listn", "Tollgate_Listen"]
)
def test_unknown_variables_are_errors(monkeypatch: pytest.MonkeyPatch, problems: Problems, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert list(problems("")) == [name]


class TestSecretFiles:
    """`<NAME>_FILE` for every setting that is a secret."""

    def test_a_secret_is_read_from_a_file(self, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "pepper").write_text("salt and pepper\n")
        monkeypatch.setenv("TOLLGATE_AUTH__KEY_PEPPER_FILE", str(tmp_path / "pepper"))
        settings = load(write("auth: {key_pepper: old, cache_seconds: 5}"))
        assert settings.auth.key_pepper is not None
        assert settings.auth.key_pepper.get_secret_value() == "salt and pepper"
        assert settings.auth.cache_seconds == 5

    @pytest.mark.parametrize("written", [b"\xef\xbb\xbfsalt", b"salt\r\n", b"\xef\xbb\xbfsalt\r\n", b"salt\n\n"])
    def test_a_byte_order_mark_and_line_ends_are_no_part_of_a_secret(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes
    ) -> None:
        (tmp_path / "pepper").write_bytes(written)
        monkeypatch.setenv("TOLLGATE_AUTH__KEY_PEPPER_FILE", str(tmp_path / "pepper"))
        pepper = load().auth.key_pepper
        assert pepper is not None
        assert pepper.get_secret_value() == "salt"

    def test_an_empty_variable_counts_as_unset_in_either_form(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOLLGATE_AUTH__KEY_PEPPER_FILE", "")
        assert load().auth.key_pepper is None
        (tmp_path / "url").write_text("redis://a")
        monkeypatch.setenv("TOLLGATE_REDIS_URL", "")
        monkeypatch.setenv("TOLLGATE_REDIS_URL_FILE", str(tmp_path / "url"))
        url = load().redis_url
        assert url is not None
        assert url.get_secret_value() == "redis://a"

    def test_a_missing_file_is_named(self, problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOLLGATE_REDIS_URL_FILE", "/nowhere/at/all")
        assert problems("") == {"TOLLGATE_REDIS_URL_FILE": "cannot be read: No such file or directory"}

    def test_an_empty_file_is_no_secret(
        self, tmp_path: Path, problems: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "url").write_text("\n")
        monkeypatch.setenv("TOLLGATE_REDIS_URL_FILE", str(tmp_path / "url"))
        assert problems("") == {"TOLLGATE_REDIS_URL_FILE": "names an empty file"}

    def test_both_forms_at_once_are_ambiguous(
        self, tmp_path: Path, problems: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "url").write_text("redis://a")
        monkeypatch.setenv("TOLLGATE_REDIS_URL_FILE", str(tmp_path / "url"))
        monkeypatch.setenv("TOLLGATE_REDIS_URL", "redis://b")
        assert "keep one" in problems("")["TOLLGATE_REDIS_URL"]


def test_the_error_reads_as_lines(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"^workers: must be .* 1\nlog\.level: must be 'debug'"):
        load(write("workers: 0\nlog: {level: x}"))


EMPTY = """
redis_url: ""
history_url: ""
auth: {key_pepper: ""}
export: {token: "", postgresql_url: ""}
payments: {stripe: {secret_key: "", webhook_secret: ""}, providers: {ours: {secret: ""}}}
portal: {oidc: {issuer: "https://login.example", client_id: a, client_secret: ""}}
webhooks: {secret: "", signer: {secret: ""}, discovery: {secret: ""}}
"""
"""Every secret as a template leaves it whose variable was not set."""


def test_a_secret_that_a_template_left_empty_is_no_secret_and_not_none_either(problems: Problems) -> None:
    found = problems(EMPTY)
    assert len(found) == len(secret_variables()) + 1  # providers have a name, so that no variable sets theirs
    webhooks = {path for path in found if path.startswith("webhooks.")}
    assert {found[path] for path in webhooks} == {"must have 16 characters or more"}
    assert {found[path] for path in found.keys() - webhooks} == {"must not be empty"}


SERVICE = {
    "TOLLGATE_SERVICE_HOST": "10.0.0.11",
    "TOLLGATE_SERVICE_PORT": "8080",
    "TOLLGATE_SERVICE_PORT_HTTP": "8080",
    "TOLLGATE_PORT": "tcp://10.0.0.11:8080",
    "TOLLGATE_PORT_8080_TCP": "tcp://10.0.0.11:8080",
    "TOLLGATE_PORT_8080_TCP_ADDR": "10.0.0.11",
    "TOLLGATE_ADMIN_SERVICE_HOST": "10.0.0.12",
    "TOLLGATE_ADMIN_PORT_9090_TCP_PROTO": "tcp",
}
"""Variables of containers beside Services named `tollgate` and `tollgate-admin`."""


def test_a_service_of_kubernetes_named_tollgate_is_no_misspelt_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICE.items():
        monkeypatch.setenv(name, value)
    assert load().listen == "127.0.0.1:8080"


def test_variables_like_those_of_a_service_are_errors_without_one(
    problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLGATE_PORT", "8080")
    monkeypatch.setenv("TOLLGATE_ADMIN_SERVICE_HOST", "10.0.0.12")
    assert list(problems("")) == ["TOLLGATE_PORT"]
