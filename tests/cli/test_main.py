"""The `tollgate` command: configuration, exit codes, and the store it works on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.store.embedded.redis_process import EmbeddedRedis
from tests.auth.issuer import jwk, key_set, rsa_key
from tests.cli.conftest import Tollgate, call, forked, spawn
from tests.store.servers import processes_of


@pytest.mark.slow
def test_it_works_without_a_server_and_leaves_nothing_running(tmp_path: Path) -> None:
    made = spawn(tmp_path, "apps", "create", "Acme", "--plan", "free", "--json").json
    assert [app["client_id"] for app in spawn(tmp_path, "apps", "list", "--json").json] == [made["client_id"]]
    assert (tmp_path / ".tollgate").is_dir()
    assert processes_of(tmp_path) == []


@pytest.mark.slow
def test_it_works_beside_a_server_on_the_same_data(tmp_path: Path) -> None:
    with EmbeddedRedis.acquire(tmp_path / "data"):
        made = spawn(
            tmp_path, "apps", "create", "Acme", "--plan", "free", "--json", TOLLGATE_DATA_DIR=str(tmp_path / "data")
        ).json
    listed = spawn(tmp_path, "apps", "list", "--json", TOLLGATE_DATA_DIR=str(tmp_path / "data")).json
    assert [app["client_id"] for app in listed] == [made["client_id"]]


@pytest.mark.ci
def test_a_redis_that_is_not_there_is_one_line_and_exit_3(tmp_path: Path) -> None:
    done = call("apps", "list", TOLLGATE_REDIS_URL="redis://user:hunter2@127.0.0.1:1")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("tollgate: Redis at 127.0.0.1:1 cannot be reached")
    assert done.err.count("\n") == 1
    assert "hunter2" not in done.err


@pytest.mark.ci
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_server_without_its_redis_is_one_line_and_exit_3(tmp_path: Path, command: str) -> None:
    listeners = {"TOLLGATE_LISTEN": "127.0.0.1:0", "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0"}
    done = forked(tmp_path, command, TOLLGATE_REDIS_URL="redis://user:hunter2@127.0.0.1:1", **listeners)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert done.err.startswith("tollgate: Redis at 127.0.0.1:1 cannot be reached")


@pytest.mark.parametrize("command", ["serve", "demo", "apps list", "check"])
def test_an_address_of_redis_that_is_none_is_a_wrong_setting_and_exit_2(tmp_path: Path, command: str) -> None:
    listeners = {"TOLLGATE_LISTEN": "127.0.0.1:0", "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0"}
    done = forked(tmp_path, *command.split(), TOLLGATE_REDIS_URL="redis://:hunter2@127.0.0.1:port", **listeners)
    assert (done.code, done.out) == (2, "")
    assert done.err == "tollgate: redis_url: '127.0.0.1:port' has no port between 1 and 65535 after its colon\n"


def test_every_configuration_error_is_reported_with_its_path(tmp_path: Path) -> None:
    file = tmp_path / "tollgate.yaml"
    file.write_text(
        "workers: 0\nauth: {cache_seconds: -1, key_pepper: {hunter2: 1}}\n"
        "plans: {gold: {limits: {app: {requests: 1}}}}\n"
    )
    for command in (("check",), ("check", "--json"), ("apps", "list"), ("apps", "create", "x", "--plan", "free")):
        done = call("--config", str(file), *command)
        assert (done.code, done.out) == (2, "")
        paths = {line.split(": ")[1] for line in done.err.splitlines()}
        assert paths >= {"workers", "auth.cache_seconds", "auth.key_pepper", "plans.gold.limits.app.requests"}
        assert "hunter2" not in done.err


@pytest.mark.slow
def test_a_configuration_error_ends_a_process_with_exit_2(tmp_path: Path) -> None:
    done = spawn(tmp_path, "apps", "list", TOLLGATE_WORKERS="none", TOLLGATE_WORKER="1")
    assert (done.code, done.out) == (2, "")
    assert {line.split(": ")[1] for line in done.err.splitlines()} == {"TOLLGATE_WORKER", "workers"}
    assert list(tmp_path.iterdir()) == []


def test_check_looks_at_what_the_settings_point_to(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"keys": []}')
    (tmp_path / "nested.json").write_text("[" * 100_000)
    issuers = [
        {"issuer": "https://idp", "audience": name, "app": "app_1", "jwks_file": str(tmp_path / name)}
        for name in ("missing.json", "empty.json", "nested.json")
    ]
    (tmp_path / "good.json").write_bytes(key_set(jwk(rsa_key())))
    issuers.append({**issuers[0], "audience": "a", "jwks_file": str(tmp_path / "good.json")})
    file = tmp_path / "tollgate.yaml"
    file.write_text(json.dumps({"auth": {"issuers": issuers}, "redis_url": "http://u:hunter2@x"}))
    done = call("check", TOLLGATE_CONFIG=str(file))
    assert done.code == 2
    assert done.err.splitlines() == [
        "tollgate: redis_url: it must start with redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://",
        "tollgate: auth.issuers.0.jwks_file: cannot be read: No such file or directory",
        "tollgate: auth.issuers.1.jwks_file: it holds no public key for RS256",
        "tollgate: auth.issuers.2.jwks_file: it is nested too deeply",
    ]


def test_check_demands_a_default_hold_where_a_price_has_no_upper_bound(tmp_path: Path) -> None:
    time = [{"unit": "seconds", "amount": 1}]
    capped = {"app": {"caps": [{"unit": "amount", "per": "day", "max": 1}]}}
    plans = {
        "prepaid": {"billing": "credits", "prices": time},
        "capped": {"billing": "usage", "prices": [{"workload": "llm", **time[0]}], "limits": capped},
        "unreserved": {"billing": "credits", "prices": time, "holds": {"default": 1, "ceiling": 0}},
        "bounded": {"billing": "credits", "prices": [{"workload": "byoc", **time[0]}]},
        "default": {"billing": "credits", "prices": time, "holds": {"default": 1}},
        "postpaid": {"billing": "usage", "prices": time},
    }
    file = tmp_path / "tollgate.yaml"
    file.write_text(json.dumps({"plans": plans}))
    done = call("check", TOLLGATE_CONFIG=str(file))
    assert done.code == 2
    prepaid, capped_line, unreserved = done.err.splitlines()
    wanted = "tollgate: plans.{}.holds.default: must be above 0: prices.0 sells `seconds` of {}"
    assert prepaid.startswith(wanted.format("prepaid", "every workload"))
    assert capped_line.startswith(wanted.format("capped", "llm"))
    assert unreserved.startswith("tollgate: plans.unreserved.holds.ceiling: must be above 0")


def test_check_shows_what_takes_effect_and_no_secret(tmp_path: Path) -> None:
    secrets = {"TOLLGATE_REDIS_URL": "redis://:hunter2@r/", "TOLLGATE_AUTH__KEY_PEPPER": "hunter3"}
    shown = call("check", "--json", **secrets, TOLLGATE_WORKERS="3").json
    assert (shown["workers"], shown["redis_url"], shown["auth"]["key_pepper"]) == (3, "**********", "**********")
    assert set(shown["plans"]) == {"free", "premium", "standard", "unlimited"}
    assert shown["plans"]["free"]["limits"]["app"]["requests_per_minute"]["max"] == 10
    summary = call("check", **secrets)
    assert summary.code == 0
    assert "plans:        free, premium, standard, unlimited\n" in summary.out
    assert "hunter" not in json.dumps(shown) + summary.out + summary.err


def test_the_configuration_file_is_named_by_option_or_environment(tmp_path: Path, tollgate: Tollgate) -> None:
    file = tmp_path / "tollgate.yaml"
    file.write_text("plans: {gold: {}}\n")
    assert tollgate("--config", str(file), "apps", "create", "x", "--plan", "gold").code == 0
    assert tollgate("apps", "create", "x", "--plan", "gold", TOLLGATE_CONFIG=str(file)).code == 0
    assert tollgate("apps", "create", "x", "--plan", "gold").code == 2
    missing = tollgate("--config", str(tmp_path / "none.yaml"), "check")
    assert (missing.code, missing.err) == (
        2,
        f"tollgate: {tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", [("--version",), ("check", "--json"), ("check",)])
def test_an_output_on_a_full_disk_is_one_line_and_exit_1(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "proxy.cli.main", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "tollgate: not everything could be written: No space left on device\n",
    )


@pytest.mark.ci
@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", [("--help",), ("keys", "create", "--help"), ("--version",)])
def test_help_does_not_wait_for_what_it_does_not_need(command: tuple[str, ...]) -> None:
    code = (
        "import sys; from proxy.cli.main import main; sys.argv[0] = 'tollgate'\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'uvicorn', 'redis', 'httpx', 'jwt', 'openai', 'rich', 'starlette', 'prometheus_client'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tollgate" in done.stdout
